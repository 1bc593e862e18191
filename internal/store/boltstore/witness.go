package boltstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/tempfile"
)

// witness is the file beside a database that says there is one, and which. With it a lost database is never taken for a
// first start, and a restored one is noticed.
func witness(path string) string { return path + ".witness" }

// maxWitness is how many bytes of a witness are read: one of ours has some 300.
const maxWitness = 4 << 10

const witnessText = `accountservice keeps accounts in the file of this name without ".witness".
If that one is missing, it was lost: restore a backup. To begin anew instead, remove this file too.
database: `

// witnessRecord is what a witness knows: which database was here, and its last transaction when it was opened or
// closed.
type witnessRecord struct {
	id   string
	txid uint64
}

// readWitness returns the record of the witness. A missing or malformed one yields zero values.
func readWitness(path string) (k witnessRecord, err error) {
	f, err := boltfile.Open(witness(path), os.O_RDONLY|syscall.O_NOFOLLOW)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxWitness))
	if err != nil {
		return k, err
	}
	_, record, _ := strings.Cut(string(text), "database: ")
	fmt.Sscanf(record, "%s\ntransaction: %d", &k.id, &k.txid)
	return k, nil
}

// replaceWitness writes the record of h into its witness, which is replaced whole: a crash leaves the old one or the
// new one. It is ours and not a library's because the folder is synced too, and the file gets the owner of the
// database.
func replaceWitness(h *handle, temporary string) error {
	k := witnessRecord{h.id, h.committed.Load()}
	if known, err := readWitness(h.path); err == nil && known == k {
		return nil
	}
	info, err := h.file.Stat()
	if err != nil {
		return err
	}
	dir := filepath.Dir(h.path)
	f, err := tempfile.Create(dir, temporary, info)
	if err != nil {
		return fmt.Errorf("cannot create a file in its folder: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, "%s%s\ntransaction: %d\n", witnessText, k.id, k.txid)
	if err = errors.Join(err, f.Sync()); err == nil {
		err = os.Rename(f.Name(), witness(h.path))
	}
	if err == nil { // the error of syncDir says that the file is in its place
		err = syncDir(dir)
	}
	return errors.Join(err, f.Close())
}

// compareWitness says in the log if another or an older database is here than the witness knows, and reports the
// latter.
func (l location) compareWitness(here witnessRecord) (older bool) {
	known, err := readWitness(l.path)
	switch {
	case err != nil:
		l.log.Warn("the witness beside the database can't be read: a database that was replaced is not noticed",
			"path", l.path, "err", err)
	case known.id != "" && known.id != here.id:
		l.log.Warn("another database than before is at the path: taken as a restore", "path", l.path)
	case known.txid > here.txid:
		older = true
		l.log.Warn("an older state of the database is at the path: taken as a restore", "path", l.path,
			"transaction", here.txid, "before", known.txid)
	}
	return older
}

// writeWitness makes the witness know the database as it is now. A folder that cannot be written has no witness, for
// the file may be mounted alone. On a full disk the witness keeps what it knows, which is that there is a database.
func (l location) writeWitness(h *handle) error {
	err := replaceWitness(h, l.temporary(kindWitness))
	if err != nil && !errors.Is(err, syscall.EIO) {
		l.log.Warn("the witness beside the database can't be written: without one, a lost file is taken for a first start",
			"path", l.path, "err", err)
		return nil
	}
	return err
}

package boltstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"accountservice/internal/store/boltstore/boltfile"
)

// A witness is the file beside a database that says there is one, and which.
// With it a lost database is never taken for a first start, and a restored one
// is noticed.
func witness(path string) string { return path + ".witness" }

const witnessText = `accountservice keeps accounts in the file of this name without ".witness".
If that one is missing, it was lost: restore a backup. To begin anew instead, remove this file too.
database: `

// testimony is what a witness knows: which database was here, and its last
// transaction when it was opened or, after that, closed in order.
type testimony struct {
	id     string
	txid   uint64
	closed bool // in order: nothing was committed after txid
}

func (k testimony) String() string {
	text := fmt.Sprintf("%s%s\ntransaction: %d\n", witnessText, k.id, k.txid)
	if k.closed {
		text += closedText
	}
	return text
}

const closedText = "closed in order\n"

// testify returns what the witness says, or nothing if there is none.
func testify(path string) (k testimony, err error) {
	text, err := os.ReadFile(witness(path))
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	_, said, _ := strings.Cut(string(text), "database: ")
	fmt.Sscanf(said, "%s\ntransaction: %d", &k.id, &k.txid) // what was spoilt is not said
	k.closed = strings.HasSuffix(said, closedText)
	return k, nil
}

// lastClosed returns the last transaction of the database at path, which has m
// valid, by the word of its witness; 0 if that does not say.
func lastClosed(path string, f io.ReaderAt, m boltfile.Meta) uint64 {
	known, err := testify(path)
	if err != nil || !known.closed {
		return 0
	}
	ours, err := m.Snapshot(f).Bucket(boltfile.MetaBucket)
	if err != nil {
		return 0
	}
	record, err := ours.Get(boltfile.IdentityKey)
	if err != nil {
		return 0
	}
	if id, err := boltfile.Unseal(boltfile.IdentityKey, record); err != nil || string(id) != known.id {
		return 0
	}
	return known.txid
}

// reopenWitness makes the witness say no longer that the database was closed. It
// does so in place, which needs no disk space.
func reopenWitness(path string) error {
	f, err := os.OpenFile(witness(path), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("its witness says that the database is closed, and can't be changed: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	before, closed := strings.CutSuffix(string(text), closedText)
	if !closed {
		return nil
	}
	return errors.Join(f.Truncate(int64(len(before))), f.Sync())
}

// leaveWitness makes the witness say k. It is replaced whole: a crash leaves the
// old one or the new one.
func leaveWitness(path string, k testimony) error {
	if known, err := testify(path); err != nil || known == k {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".witness-*")
	if err != nil {
		return fmt.Errorf("cannot create a file in its folder: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(k.String())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(f.Name(), witness(path)), syncDir(dir))
}

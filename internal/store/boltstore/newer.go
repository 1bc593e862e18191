package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
)

// newerCopy is a copy of this database that had a later transaction than the database when a start first saw both. It
// has changes that the database does not have, however many transactions the database makes since.
type newerCopy struct {
	txid uint64
	here uint64 // the database's transaction then
	path string
}

func (c newerCopy) String() string {
	return fmt.Sprintf("%s has transaction %d of this database, which a start found at transaction %d: the changes "+
		"between are not served. To serve them, stop the service, check the copy with accountservice verify and put it at "+
		"the path; to go on without them, move the copy away", c.path, c.txid, c.here)
}

// gone reports whether the copy was moved away.
func (c newerCopy) gone() bool {
	_, err := os.Lstat(c.path)
	return errors.Is(err, fs.ErrNotExist)
}

// findNewer finds the newer copies beside the database that a start opens, and remembers them in it.
func (l location) findNewer(h *handle) (newer []newerCopy, err error) {
	known, damage := h.knownCopies()
	paths := l.copies()
	for _, c := range known { // one may be in an earlier rescueDir, or in a folder that cannot be listed now
		if !c.gone() && !slices.Contains(paths, c.path) {
			paths = append(paths, c.path)
		}
	}
	for _, path := range paths {
		id, txid := databaseAt(path)
		i := slices.IndexFunc(known, func(c newerCopy) bool {
			return id == h.id && txid == c.txid || id == "" && path == c.path // as it cannot be read now
		})
		switch here := h.committed.Load(); {
		case i >= 0:
			newer = append(newer, newerCopy{known[i].txid, known[i].here, path})
		case id == h.id && txid > here:
			newer = append(newer, newerCopy{txid, here, path})
		}
	}
	for _, c := range newer {
		l.log.Warn("a newer copy of the database is beside it and is not served", "path", l.path, "copy", c.path,
			"transaction", c.here, "copy_transaction", c.txid)
	}
	remembered := slices.Clone(newer)
	for _, c := range known {
		if _, err := os.Lstat(filepath.Dir(c.path)); errors.Is(err, fs.ErrNotExist) { // its volume may not be mounted
			remembered = append(remembered, c)
		}
	}
	if damage == nil && slices.Equal(remembered, known) {
		return newer, nil
	}
	return newer, h.rememberCopies(remembered)
}

// databaseAt reads which database a file is and its transaction; id is "" if it is none of ours.
func databaseAt(path string) (id string, txid uint64) {
	f, err := boltfile.Open(path, os.O_RDONLY|syscall.O_NOFOLLOW)
	if err != nil {
		return "", 0
	}
	defer f.Close()
	m, err := boltfile.InspectFile(f)
	if m == (boltfile.Meta{}) || err != nil && !errors.Is(err, boltfile.ErrOlderMeta) {
		return "", 0
	}
	id, _ = identity(m.Snapshot(f))
	return id, m.TxID
}

// IdentityAt returns the Identity of the database at path, which a service may have open, or "" if it cannot be read.
func IdentityAt(path string) string {
	id, _ := databaseAt(path)
	return id
}

// knownCopies returns the copies that earlier starts remembered, or damage if their record is damaged.
func (h *handle) knownCopies() (known []newerCopy, damage error) {
	m, _ := boltfile.InspectFile(h.file)
	own, err := m.Snapshot(h.file).Bucket(boltfile.MetaBucket)
	if err != nil {
		return nil, nil // then rememberCopies cannot write either
	}
	record, err := own.Get(boltfile.CopiesKey)
	if err != nil || record == nil {
		return nil, nil
	}
	text, damage := ownRecord(boltfile.CopiesKey, record)
	for line := range strings.Lines(string(text)) {
		var c newerCopy
		if _, err := fmt.Sscanf(line, "%d %d %q", &c.txid, &c.here, &c.path); err == nil {
			known = append(known, c)
		}
	}
	return known, damage
}

// rememberCopies commits the list. On a full disk a later start does.
func (h *handle) rememberCopies(copies []newerCopy) error {
	var text []byte
	for _, c := range copies {
		text = fmt.Appendf(text, "%d %d %q\n", c.txid, c.here, c.path)
	}
	return h.update(func(tx *bbolt.Tx) error { return putOwn(tx, boltfile.CopiesKey, string(text)) })
}

// undecided is an error while a newer copy is beside the database: somebody has to decide which of the two is served.
func undecided(copies []newerCopy) (err error) {
	for _, c := range copies {
		if !c.gone() {
			err = errors.Join(err, errors.New(c.String()))
		}
	}
	return err
}

package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A witness is the file beside a database that says there is one, and which.
// With it a lost database is never taken for a first start, and a restored one
// is noticed.
func witness(path string) string { return path + ".witness" }

const witnessText = `accountservice keeps accounts in the file of this name without ".witness".
If that one is missing, it was lost: restore a backup. To begin anew instead, remove this file too.
database: `

// testify returns the id of the database that the witness last saw, or "".
func testify(path string) (string, error) {
	text, err := os.ReadFile(witness(path))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	_, id, _ := strings.Cut(string(text), "database: ")
	return strings.TrimSpace(id), nil
}

// leaveWitness makes the witness say that the database with this id is here.
// It is replaced whole: a crash leaves the old one or the new one.
func leaveWitness(path, id string) error {
	if known, err := testify(path); err != nil || known == id {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".witness-*")
	if err != nil {
		return fmt.Errorf("cannot create a file in its folder: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(witnessText + id + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(f.Name(), witness(path)), syncDir(dir))
}

// Package notice keeps facts for later starts in small files beside the database. It knows the path of the database and
// nothing else of it.
package notice

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"accountservice/internal/tempfile"
)

// maxSize is how many bytes of a file are read at most.
const maxSize = 64 << 10

// Read decodes a file of JSON into v. found is false if there is none.
func Read(file string, v any) (found bool, err error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", file, err)
	}
	return true, nil
}

// Write replaces a file with v, encoded as JSON, in one step, and waits until it is on disk. The file gets the owner of
// its folder, and only that owner can read it. A start of the store removes the temporary file of a killed process.
func Write(file string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	folder := filepath.Dir(file)
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	f, err := tempfile.Create(folder, "."+filepath.Base(file)+"-*", info)
	if err != nil {
		return err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	return tempfile.Rename(f, file)
}

// Remove removes a file. Without one it does nothing.
func Remove(file string) error {
	err := os.Remove(file)
	if _, gone := os.Lstat(file); errors.Is(gone, fs.ErrNotExist) { // a read-only file system refuses that first
		return nil
	}
	return err
}

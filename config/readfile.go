package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// readBounded reads a file of at most limit bytes. Its error says what is wrong
// with the file, not which file: "does not exist: ...".
func readBounded(path string, limit int64) ([]byte, error) {
	if err := plain(path, false); err != nil {
		return nil, fmt.Errorf("has a name that %w", err)
	}
	info, err := os.Stat(path) // before Open, which waits for ever at a named pipe
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("does not exist: is it mounted, and the name right?")
	case err != nil:
		return nil, cause(err)
	case info.IsDir():
		return nil, errors.New("is a directory: name a file in it")
	case !info.Mode().IsRegular():
		return nil, errors.New("is no regular file")
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, unreadable(info)
	}
	if err != nil {
		return nil, cause(err)
	}
	defer file.Close() // only read
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, cause(err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("is larger than %v", Bytes(limit))
	}
	if bytes.HasPrefix(content, []byte("\ufeff")) {
		return nil, errors.New("starts with a byte-order mark: save it as UTF-8 without one")
	}
	return content, nil
}

// unreadable names owner, mode and uid: the stack file sets uid and mode where it grants a secret to the service.
func unreadable(info fs.FileInfo) error {
	owner := "another user"
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = fmt.Sprintf("uid %d", stat.Uid)
	}
	return fmt.Errorf("can't be read: it belongs to %s with mode %#o and this process is uid %d; "+
		"set uid or mode where the secret or config is granted",
		owner, info.Mode().Perm(), os.Geteuid())
}

// cause removes the path, which the caller adds.
func cause(err error) error {
	if detail, ok := errors.AsType[*fs.PathError](err); ok {
		err = detail.Err
	}
	return fmt.Errorf("can't be read: %w", err)
}

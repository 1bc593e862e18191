package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"accountservice/internal/bounded"
	"accountservice/internal/tempfile"
)

// folder is a Target on a file system. It is never created: without it, what is written there would end with the
// container whose mount is missing.
type folder struct {
	path string
	turn chan struct{} // one element while a call is under way
	last *listing      // of the call whose turn it is
}

// listing is what the last listing found.
type listing struct {
	device uint64
	newest string // name, or ""
}

func (f folder) String() string  { return f.path }
func (f folder) Staging() string { return f.path }

func (f folder) List(ctx context.Context) ([]Backup, error) {
	list, err := inTurn(ctx, f, f.list)
	if err != nil {
		return nil, fmt.Errorf("listing the backups in %s: %w", f.path, err)
	}
	return list, nil
}

func (f folder) list() ([]Backup, error) {
	entries, err := os.ReadDir(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; mount this folder, or make it: the service does not", err)
	}
	if err != nil {
		return nil, err
	}
	at, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	now := listing{device: uint64(at.Sys().(*syscall.Stat_t).Dev)}
	var list []Backup
	for _, entry := range entries {
		b, ok := ParseName(entry.Name())
		if !ok {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			b.Size = info.Size()
			list = append(list, b)
		}
	}
	sortNewest(list)
	isThere := func(b Backup) bool { return b.Name == f.last.newest }
	if f.last.newest != "" && f.last.device != now.device && !slices.ContainsFunc(list, isThere) {
		return nil, fmt.Errorf("the folder is on another file system than before, without %s: mount that one again; after a "+
			"restart this one is used", f.last.newest)
	}
	if len(list) > 0 {
		now.newest = list[0].Name
	}
	*f.last = now
	return list, nil
}

func (f folder) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	file, err := inTurn(ctx, f, func() (*os.File, error) { return os.Open(filepath.Join(f.path, name)) })
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Put renames content, which Stage made in this folder.
func (f folder) Put(ctx context.Context, name string, content *os.File) error {
	if err := checkName(name); err != nil {
		return err
	}
	_, err := inTurn(ctx, f, func() (struct{}, error) { return struct{}{}, f.put(ctx, name, content) })
	if err != nil {
		return fmt.Errorf("writing the backup %s into %s: %w", name, f.path, err)
	}
	return nil
}

func (f folder) put(ctx context.Context, name string, content *os.File) error {
	if err := cmp.Or(content.Sync(), ctx.Err()); err != nil { // the disk may have taken too long
		return err
	}
	return tempfile.Rename(content, filepath.Join(f.path, name))
}

func (f folder) Remove(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	_, err := inTurn(ctx, f, func() (struct{}, error) { return struct{}{}, os.Remove(filepath.Join(f.path, name)) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// inTurn is bounded.Call for one call at a time: while one hangs, no other adds a goroutine that hangs.
func inTurn[T any](ctx context.Context, f folder, call func() (T, error)) (T, error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("an earlier call has not returned, so the file system hangs: %w", ctx.Err())
	}
	return bounded.Call(ctx, func() (T, error) {
		defer func() { <-f.turn }()
		return call()
	})
}

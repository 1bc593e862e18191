// Package restore brings a backup to the path of a database. It knows backups and database files, nothing of HTTP or
// configuration.
package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"accountservice/internal/backup"
	"accountservice/internal/bounded"
	"accountservice/internal/store/boltstore"
)

// Candidate is what can be restored: one database file somewhere.
type Candidate struct {
	Name    string    // for people
	Made    time.Time // when the backup was made; zero if unknown
	Changed time.Time // when the file was, whose name does not say when it was made: a copy is newer than its backup
	Size    int64     // in bytes; 0 if unknown
	Open    func(context.Context) (io.ReadCloser, error)
}

// At returns the backups of a target, the newest first.
func At(ctx context.Context, target backup.Target) ([]Candidate, error) {
	list, err := target.List(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]Candidate, len(list))
	for i, b := range list {
		found[i] = Of(target, b)
	}
	return found, nil
}

// Of returns a backup of a target.
func Of(target backup.Target, b backup.Backup) Candidate {
	return Candidate{Name: target.String() + "/" + b.Name, Made: b.Time, Size: b.Size,
		Open: func(ctx context.Context) (io.ReadCloser, error) { return target.Get(ctx, b.Name) }}
}

// File returns the file at path.
func File(path string) (Candidate, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "restore", Path: path, Err: errors.New("is neither a file nor a folder")}
	}
	if err != nil {
		return Candidate{}, err
	}
	c := Candidate{Name: path, Size: info.Size(),
		Open: func(ctx context.Context) (io.ReadCloser, error) { return boltstore.OpenUnused(ctx, path) }}
	if b, ok := backup.ParseName(filepath.Base(path)); ok {
		c.Made = b.Time
	} else {
		c.Changed = info.ModTime().UTC()
	}
	return c, nil
}

// Observer is told how a Fetch goes on. Its functions are called on one goroutine.
type Observer struct {
	Damaged func(c Candidate, err error) // the next candidate is tried
	Step    func(doing string)           // at most once a second, and when a step begins
}

// Fetched is a whole database, verified, beside the path that it is for.
type Fetched struct {
	Candidate
	Database    boltstore.Verified
	Replacement *boltstore.Replacement
}

// Fetch copies the first candidate that is whole into the folder of the database at path and verifies the copy. The
// caller discards its Replacement. A candidate that is damaged or no database is passed over. What cannot be read ends
// Fetch with the error of it: an older backup would lose what the newer one has. If none is whole, the error is
// boltstore.ErrDamaged or boltstore.ErrNoDatabase of the last one. Fetch ends with ctx, whatever the disk does; a copy
// that gets whole after that is removed by the next start of the store.
func Fetch(ctx context.Context, candidates []Candidate, path string, o Observer) (*Fetched, error) {
	f, err := bounded.Call(ctx, func() (*Fetched, error) { return fetch(ctx, candidates, path, o) })
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return f, err
}

func fetch(ctx context.Context, candidates []Candidate, path string, o Observer) (*Fetched, error) {
	var last error
	for i, c := range candidates {
		f, err := c.fetch(ctx, path, o)
		if err == nil {
			return f, nil
		}
		last = fmt.Errorf("%s: %w", c.Name, err)
		damaged := errors.Is(err, boltstore.ErrDamaged) || errors.Is(err, boltstore.ErrNoDatabase)
		if !damaged || i == len(candidates)-1 {
			return nil, last
		}
		o.Damaged(c, err)
	}
	return nil, last
}

func (c Candidate) fetch(ctx context.Context, path string, o Observer) (*Fetched, error) {
	from, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	r, err := boltstore.NewReplacement(path)
	if err != nil {
		return nil, err
	}
	if err = r.Room(c.Size); err == nil {
		_, err = io.Copy(r.File, &arriving{from: from, ctx: ctx, c: c, o: o})
	}
	f := &Fetched{Candidate: c, Replacement: r}
	if err == nil {
		o.Step("verifying " + c.Name)
		f.Database, err = boltstore.VerifyWhole(ctx, r.File)
	}
	if err != nil {
		r.Discard()
		return nil, err
	}
	return f, nil
}

// arriving is a reader that says how much was read, and ends with ctx.
type arriving struct {
	from  io.Reader
	ctx   context.Context
	c     Candidate
	o     Observer
	bytes int64
	said  time.Time
}

func (a *arriving) Read(p []byte) (int, error) {
	if err := a.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := a.from.Read(p)
	a.bytes += int64(n)
	if now := time.Now(); now.Sub(a.said) > time.Second {
		a.said = now
		a.o.Step(fmt.Sprintf("reading %s: %d of %d MiB", a.c.Name, a.bytes>>20, max(a.c.Size, a.bytes)>>20))
	}
	return n, err
}

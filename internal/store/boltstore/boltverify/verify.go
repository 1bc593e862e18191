// Package boltverify reads all of a database file and says what is damaged: both meta pages, every page of every tree,
// the list of free pages and each record. It reads by pread, in this process. Only CheckFreelist writes, if it is asked
// to.
//
// No file can harm the process. Every number in the file is compared with a bound before it is used, no page is read
// twice, and the memory used is proportional to the real pages of the file, not to its size.
package boltverify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// Verify reads the whole database file at path, which no process may have open for writing, and returns all damage
// that it finds. It keeps the file locked (shared) while it reads, so that no service can open it.
//
// An error means that there is no verdict: no such file, not a regular one, boltfile.ErrNoDatabase, locked, or ctx
// ended before anything was found. If ctx ended later, the last finding says so. ctx is asked between two reads: one that a
// disk does not answer returns when the disk does.
func Verify(ctx context.Context, path string) (Report, error) {
	f, err := open(ctx, path)
	if err != nil {
		return newReport(path), fmt.Errorf("bolt verify %s: %w", path, err)
	}
	defer f.Close()
	report, err := VerifyFile(ctx, f)
	if err != nil {
		err = fmt.Errorf("bolt verify %s: %w", path, err)
	}
	return report, err
}

// VerifyFile is Verify of an open file, which nobody may write to meanwhile. It takes no lock, and its errors do not
// name the file.
func VerifyFile(ctx context.Context, f *os.File) (Report, error) { return examine(ctx, f, nil) }

// examine is VerifyFile. It calls salvaged as walker does, and then reads a file that was cut, too.
func examine(ctx context.Context, f *os.File, salvaged func(store.Account, error)) (Report, error) {
	report := newReport(f.Name())
	err := read(ctx, f, &report, salvaged)
	if ended := ctx.Err(); err == nil && ended != nil {
		if len(report.Findings) == 0 {
			err = fmt.Errorf("not finished with its pages and records: %w", ended)
		} else {
			report.find("its pages and records", "not finished (%v); there may be more", ended)
		}
	}
	report.Intact = err == nil && len(report.Findings) == 0
	return report, err
}

func read(ctx context.Context, f *os.File, r *Report, salvaged func(store.Account, error)) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r.Size = info.Size()
	newest, err := r.metas(f)
	if err != nil || newest == (boltfile.Meta{}) {
		return err
	}
	r.PageSize, r.Pages, r.Transaction = newest.PageSize, newest.HighWater, newest.TxID
	if err := newest.Fit(r.Size); err != nil {
		r.find("file", "%v", err)
		if salvaged == nil {
			return nil
		}
	}
	w := walker{ctx: ctx, file: f, meta: newest, report: r, salvaged: salvaged}
	w.walk()
	return nil
}

// metas checks both meta pages and returns the newest valid one, or the zero Meta. The error is boltfile.ErrNoDatabase.
func (r *Report) metas(f *os.File) (newest boltfile.Meta, err error) {
	if r.Size == 0 {
		r.find("file", "is empty (0 bytes)")
		return newest, nil
	}
	metas := boltfile.ReadMetas(f)
	newest, lost := metas.Newest()
	none := newest == (boltfile.Meta{})
	for i, err := range metas.Errs {
		where := fmt.Sprint("meta page ", i)
		switch {
		case err != nil && !errors.Is(err, boltfile.ErrBadMeta):
			r.find(where, "%v", err)
		case err != nil && !none:
			if errors.Is(lost, boltfile.ErrOlderMeta) {
				r.Meta++
			}
			r.find(where, "%v", lost)
		case lost == nil && !hasHeader(f, uint64(i), newest.PageSize):
			r.find(where, "its header is damaged")
		}
	}
	if none && len(r.Findings) == 0 {
		if err := boltfile.OtherFormat(f); err != nil {
			return newest, err
		}
		r.find("meta pages", "the file is not a database, or both are damaged")
	}
	return newest, nil
}

// hasHeader says whether the header of a valid meta page is valid too. bbolt does not read it.
func hasHeader(f *os.File, id uint64, pageSize int64) bool {
	b := make([]byte, boltfile.HeaderSize)
	_, err := f.ReadAt(b, int64(id)*pageSize)
	h := boltfile.ParseHeader(b)
	return err == nil && h.ID == id && h.Flags == boltfile.MetaPage
}

// lockPatience is how long Verify waits for a process that holds the file: one that is about to end may.
const lockPatience = time.Second

// open opens the file for reading alone and locks it as bbolt's readers do.
func open(ctx context.Context, path string) (*os.File, error) {
	f, err := boltfile.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	err = boltfile.Lock(ctx, f, syscall.LOCK_SH, lockPatience, nil)
	if errors.Is(err, boltfile.ErrLocked) {
		err = errors.New("a running service holds it; verify a copy. accountservice backup makes one of all accounts and " +
			"verifies it; for one of the whole file stop the service, or take a snapshot of the volume: what cp makes of a " +
			"file in use is damaged more often than not")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

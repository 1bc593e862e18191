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

	"accountservice/internal/store/boltstore/boltfile"
)

// Finding is one damage of a database file.
type Finding struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

func (f Finding) String() string { return f.Where + ": " + f.What }

// maxFindings is how many findings a Report lists: a file full of damage has one for each record.
const maxFindings = 1000

// Report is what was found.
type Report struct {
	File string `json:"file"`
	// Intact: all of the file was read and nothing was found.
	Intact   bool      `json:"intact"`
	Findings []Finding `json:"findings"` // never nil
	Omitted  int       `json:"omitted"`  // how many more there were
	// Unsafe: a write could use a page that is in use, because its use or the list of free pages is in doubt.
	Unsafe bool `json:"-"`
	Own    int  `json:"-"` // how many of Findings are about this service's own records alone

	Accounts int `json:"accounts"`
	// Unchecked counts the accounts in the tutorial's form. It has no checksum: a letter changed in such a name is not
	// found.
	Unchecked   int    `json:"unchecked"`
	Size        int64  `json:"size"`      // in bytes
	PageSize    int64  `json:"page_size"` // in bytes
	Pages       int64  `json:"pages"`     // below the high-water mark
	FreePages   int64  `json:"free_pages"`
	Transaction uint64 `json:"transaction"`
}

func (r *Report) find(where, format string, args ...any) {
	if len(r.Findings) == maxFindings {
		r.Omitted++
		return
	}
	what := fmt.Sprintf(format, args...)
	r.Findings = append(r.Findings, Finding{where, fmt.Sprintf("%.500s", what)}) // errors of JSON quote the file
}

// countOwn notes that all findings but the first so many are about this service's own records.
func (r *Report) countOwn(before int) { r.Own += len(r.Findings) - before }

// Verify reads the whole database file at path, which no process may have open for writing, and returns all damage
// that it finds. It keeps the file locked (shared) while it reads, so that no service can open it.
//
// An error means that there is no verdict: no such file, not a regular one, locked, or ctx ended before anything was
// found. If ctx ended later, the last finding says so. ctx is asked between two reads: one that a disk does not answer
// returns when the disk does.
func Verify(ctx context.Context, path string) (Report, error) {
	f, err := open(ctx, path)
	if err != nil {
		return Report{File: path, Findings: []Finding{}}, fmt.Errorf("bolt verify %s: %w", path, err)
	}
	defer f.Close()
	return VerifyFile(ctx, f)
}

// VerifyFile is Verify of an open file, which nobody may write to meanwhile. It takes no lock.
func VerifyFile(ctx context.Context, f *os.File) (Report, error) {
	report := Report{File: f.Name(), Findings: []Finding{}}
	err := report.read(ctx, f)
	if ended := ctx.Err(); err == nil && ended != nil {
		if len(report.Findings) == 0 {
			err = fmt.Errorf("not finished with its pages and records: %w", ended)
		} else {
			report.find("its pages and records", "not finished (%v); there may be more", ended)
		}
	}
	if err != nil {
		return report, fmt.Errorf("bolt verify %s: %w", f.Name(), err)
	}
	report.Intact = len(report.Findings) == 0
	return report, nil
}

func (r *Report) read(ctx context.Context, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r.Size = info.Size()
	newest, ok := r.metas(f)
	if !ok {
		return nil
	}
	r.PageSize, r.Pages, r.Transaction = newest.PageSize, newest.HighWater, newest.TxID
	if err := newest.Fit(r.Size); err != nil {
		r.find("file", "%v", err)
		return nil
	}
	w := walker{ctx: ctx, file: f, meta: newest, report: r}
	w.walk()
	return nil
}

// metas checks both meta pages and returns the newest valid one.
func (r *Report) metas(f *os.File) (newest boltfile.Meta, ok bool) {
	if r.Size == 0 {
		r.find("file", "is empty (0 bytes)")
		return newest, false
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
			r.find(where, "%v", lost)
		case lost == nil && !hasHeader(f, uint64(i), newest.PageSize):
			r.find(where, "its header is damaged")
		}
	}
	if none && len(r.Findings) == 0 {
		r.find("meta pages", "the file is not a database, or both are damaged")
	}
	return newest, !none
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
		err = errors.New("a running service holds it; verify a copy. Take it while the service is stopped, or from " +
			"a snapshot of the volume: what cp makes of a file in use is damaged more often than not")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

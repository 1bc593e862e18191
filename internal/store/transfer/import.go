package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"accountservice/internal/store"
)

// Target is where accounts go: a store.Store is one.
type Target interface {
	// Import is as in store.Store.
	Import(ctx context.Context, accounts []store.Account) (store.Imported, error)
}

// Progress is how far an import went.
type Progress struct {
	store.Imported
	Lines   int // read and done with, empty ones included
	Damaged int // lines that stand for damaged accounts, which are not stored
}

// Options of an Import.
type Options struct {
	// Timeout bounds the work on one batch; 0 is no bound.
	Timeout time.Duration
	// ReadOn reads on after a fault, so that all faults are told at once. It is for
	// a target that changes nothing: see DryRun.
	ReadOn bool
	// Done, if not nil, is called after each batch.
	Done func(Progress)
}

// Error says why an import ended before its input did. All lines before First are stored; of those from First to Last,
// none is, but with store.ErrOutcomeUnknown all may be. Repeating the whole import is safe.
type Error struct {
	First, Last int
	Faults      []Fault // why, if not empty
	Err         error   // else why
}

func (e *Error) Error() string {
	if len(e.Faults) == 0 {
		return fmt.Sprintf("lines %d to %d: %v", e.First, e.Last, e.Err)
	}
	all := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		all[i] = f.Error()
	}
	return strings.Join(all, "\n")
}

func (e *Error) Unwrap() error { return e.Err }

// Stored says in words what the import left behind.
func (e *Error) Stored() string {
	unknown := errors.Is(e.Err, store.ErrOutcomeUnknown)
	switch {
	case unknown && e.First == 1:
		return fmt.Sprintf("The lines to %d may be stored, none after them.", e.Last)
	case unknown:
		return fmt.Sprintf("The lines before %d are stored, those from there to %d may be.", e.First, e.Last)
	case e.First == 1:
		return "No line is stored."
	}
	return fmt.Sprintf("The lines before %d are stored, none from there on.", e.First)
}

// Rejected is the error of a Target that finds fault with accounts, as one of another version may.
type Rejected struct {
	Faults []Fault // lines count the accounts, from 1
	Err    error
}

func (r *Rejected) Error() string { return r.Err.Error() }
func (r *Rejected) Unwrap() error { return r.Err }

// Import reads the input to its end and puts its accounts into the target, batch by batch. It ends early at the first
// fault, with an *Error. When ctx ends, the batch under way is finished first.
func Import(ctx context.Context, in *Reader, to Target, opts Options) (Progress, error) {
	var done Progress
	var faults []Fault
	for len(faults) < MaxFaults {
		batch, err := in.Next()
		if errors.Is(err, io.EOF) {
			done.Lines = in.line // empty ones at the end are in no batch
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return done, &Error{First: done.Lines + 1, Last: max(batch.Last, done.Lines+1), Err: err}
		}
		faults = append(faults, batch.Faults...)
		if len(faults) > 0 && !opts.ReadOn {
			return done, &Error{First: batch.First, Last: batch.Last, Faults: faults}
		}
		n, err := importBatch(ctx, batch, to, opts.Timeout)
		if err != nil {
			return done, &Error{First: batch.First, Last: batch.Last, Faults: placed(err, batch.Lines), Err: err}
		}
		done.Imported = sum(done.Imported, n)
		done.Lines, done.Damaged = batch.Last, done.Damaged+batch.Damaged
		if opts.Done != nil {
			opts.Done(done)
		}
	}
	if len(faults) > 0 {
		return done, &Error{First: 1, Last: done.Lines, Faults: faults[:min(len(faults), MaxFaults)]}
	}
	return done, nil
}

// placed returns the faults that a target found, with the lines of the input.
func placed(err error, lines []int) (faults []Fault) {
	rejected, is := errors.AsType[*Rejected](err)
	if !is {
		return nil
	}
	for _, f := range rejected.Faults {
		if f.Line >= 1 && f.Line <= len(lines) {
			f.Line = lines[f.Line-1]
			faults = append(faults, f)
		}
	}
	return faults
}

func importBatch(ctx context.Context, batch Batch, to Target, timeout time.Duration) (store.Imported, error) {
	if len(batch.Accounts) == 0 {
		return store.Imported{}, nil
	}
	ctx = context.WithoutCancel(ctx) // a caller that stops gets an end that is known
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return to.Import(ctx, batch.Accounts)
}

func sum(a, b store.Imported) store.Imported {
	return store.Imported{
		Created: a.Created + b.Created, Replaced: a.Replaced + b.Replaced, Unchanged: a.Unchanged + b.Unchanged,
	}
}

// DryRun is a Target that counts what Import would do to the store as it is now, and changes nothing. It forgets each
// batch, for constant memory: a new id that is in two batches counts as created twice.
type DryRun struct {
	Store interface {
		// GetMany is as in store.Store.
		GetMany(ctx context.Context, ids []store.ID) (store.Found, error)
	}
}

// Import implements Target.
func (d DryRun) Import(ctx context.Context, accounts []store.Account) (n store.Imported, err error) {
	in, err := store.Importable(accounts)
	if err != nil {
		return n, err
	}
	ids := make([]store.ID, len(in))
	for i, acc := range in {
		ids[i] = acc.ID
	}
	found, err := d.Store.GetMany(ctx, ids)
	if errors.Is(err, store.ErrTooMuch) && len(in) > 1 {
		half := len(in) / 2
		if n, err = d.Import(ctx, in[:half]); err != nil {
			return n, err
		}
		rest, err := d.Import(ctx, in[half:])
		return sum(n, rest), err
	}
	if err != nil {
		return n, err
	}
	stored := make(map[store.ID]*store.Account, len(ids))
	for i, acc := range found.Accounts {
		stored[acc.ID] = &found.Accounts[i]
	}
	for _, id := range found.Damaged {
		stored[id] = nil
	}
	_, n = store.ImportChanges(in, time.Time{}, func(id store.ID) (old *store.Account, damaged bool) {
		old, exists := stored[id]
		return old, exists && old == nil
	})
	return n, nil
}

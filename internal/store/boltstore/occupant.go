package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"accountservice/internal/store/boltstore/boltfile"
)

// Occupant is what is at the path of a database, for a command that wants to replace it.
type Occupant struct {
	Verified
	Found  bool     // something is at the path
	Lost   bool     // nothing is there, and the witness says that there was a database
	Locked bool     // another process has it open, so that nothing more is known of it
	Damage error    // why a start would refuse it
	Copies []string // rescued copies of a lost database that are beside it

	file *os.File
}

// Occupy finds out what is at the path of opts, and keeps it locked until Close, so that no service opens it meanwhile.
// Of opts it takes the paths and the log.
func Occupy(ctx context.Context, opts Options) (o *Occupant, err error) {
	l, err := newLocation(opts)
	if err != nil {
		return nil, err
	}
	o = &Occupant{Copies: l.copies()}
	o.file, err = openLocked(ctx, l.path, Options{OpenTimeout: lockPatience}, os.O_RDWR)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, noWitness := os.Lstat(witness(l.path))
		o.Lost = noWitness == nil
		return o, nil
	case errors.Is(err, ErrLocked):
		o.Found, o.Locked = true, true
		return o, nil
	case err == nil:
		o.Found = true
		l.forgetUnwritten(o.file)
		o.Verified, err = VerifyWhole(ctx, o.file)
	}
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrNoDatabase) {
		o.Damage, err = err, nil
	}
	if err != nil {
		o.Close()
		return nil, fmt.Errorf("%s: %w", opts.Path, err)
	}
	return o, nil
}

// lockPatience is how long a command waits for a process that holds the database: one that is about to end may.
const lockPatience = time.Second

// Close releases what is at the path.
func (o *Occupant) Close() { o.file.Close() }

// IsPart reports whether the file at name, which a link may lead to, is the database at path or its witness.
func IsPart(path, name string) bool {
	there, err := os.Stat(name)
	if err != nil {
		return false
	}
	for _, part := range []string{path, witness(path)} {
		if info, err := os.Stat(part); err == nil && os.SameFile(info, there) {
			return true
		}
	}
	return false
}

// OpenUnused opens a file to read it, which no service may have open: that writes to it meanwhile. The error is
// ErrLocked then.
func OpenUnused(ctx context.Context, path string) (*os.File, error) {
	f, err := boltfile.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if err := boltfile.Lock(ctx, f, syscall.LOCK_SH, lockPatience, nil); errors.Is(err, ErrLocked) {
		f.Close()
		return nil, fmt.Errorf("%w: a service has this file open; accountservice backup makes a copy of that", err)
	}
	return f, nil // a file system without locks can have backups
}

// Objections are the reasons not to put v in its place without being told: what would be lost or is not known.
func (o *Occupant) Objections(v Verified) (list []string) {
	same := v.Identity != "" && o.Identity == v.Identity
	switch {
	case o.Locked:
		list = append(list, "a running service has the database open: stop it first; with --force it keeps a copy of what it "+
			"has, and is unhealthy and answers 503 until it is restarted")
	case o.Damage != nil && o.Size > 0:
		list = append(list, fmt.Sprintf("%v; what it has is not known", o.Damage))
	case o.Found && same && o.Transaction > v.Transaction:
		list = append(list, fmt.Sprintf("it is newer: it has transaction %d, and the backup %d of the same database",
			o.Transaction, v.Transaction))
	case o.Accounts > 0 && (o.Identity == "" || v.Identity == ""):
		list = append(list, fmt.Sprintf("it has %d accounts, and it is not known whether the backup is of this database",
			o.Accounts))
	case o.Accounts > 0 && !same:
		list = append(list, fmt.Sprintf("it has %d accounts, and is not the database that the backup is of", o.Accounts))
	case o.Accounts > 0:
		list = append(list, fmt.Sprintf("it has %d accounts", o.Accounts))
	}
	for _, path := range o.Copies {
		list = append(list, fmt.Sprintf("%s was saved from a lost database and can be newer: check it with accountservice "+
			"verify, and restore it or move it away", path))
	}
	return list
}

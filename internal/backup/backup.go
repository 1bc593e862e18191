// Package backup owns where the backups of one database are kept, and when they are made: their names, how they are
// listed, read, written and removed in a folder or in an S3 bucket, and the schedule. It knows nothing of what a backup
// holds, nor of HTTP handlers or configuration.
package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Backup is one backup at a target.
type Backup struct {
	Name        string
	Time        time.Time // when it was made, in UTC, whole seconds
	Transaction uint64    // the last one of the database that it has
	Size        int64     // in bytes
}

const (
	namePrefix = "accounts-"
	nameSuffix = ".db"
	nameTime   = "20060102T150405Z"
)

// NameOf returns the name of a backup made at this time: accounts-20261129T040500Z-42.db.
func NameOf(made time.Time, transaction uint64) string {
	return namePrefix + made.UTC().Format(nameTime) + "-" + strconv.FormatUint(transaction, 10) + nameSuffix
}

// ParseName returns the backup that NameOf gave this name, without its size; ok is false for any other name.
func ParseName(name string) (b Backup, ok bool) {
	middle, isSuffixed := strings.CutSuffix(name, nameSuffix)
	middle, isPrefixed := strings.CutPrefix(middle, namePrefix)
	day, number, isCut := strings.Cut(middle, "-")
	made, errTime := time.Parse(nameTime, day)
	transaction, errNumber := strconv.ParseUint(number, 10, 64)
	b = Backup{Name: name, Time: made, Transaction: transaction}
	return b, isSuffixed && isPrefixed && isCut && errTime == nil && errNumber == nil && NameOf(made, transaction) == name
}

// Target is a place for the backups of one database. Its methods may be called concurrently and end with ctx. No error
// holds a secret.
type Target interface {
	// String is the target as the operator named it, without secrets.
	String() string
	// List returns the backups that are there, the newest first: by time, then by transaction. What has another name is
	// left out. A target without any is no error; one that is not there is.
	List(ctx context.Context) ([]Backup, error)
	// Get opens the backup of this name; without one the error is fs.ErrNotExist. The caller closes it. A backup that is
	// cut on its way is an error of Read, not its end.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// Put stores all of content as the backup of this name, which must be one of NameOf. It appears whole or not at all,
	// replaces one of the same name, and survives a loss of power once Put has returned nil. A bucket lists it then with
	// its size. After ErrNotListed it is stored, and List is refused. content is a file of Stage in the folder Staging,
	// and can lose its name.
	Put(ctx context.Context, name string, content *os.File) error
	// Remove removes a backup. One that is not there is no error.
	Remove(ctx context.Context, name string) error
	// Staging returns the folder in which a file for Put must be made, or "" if any will do.
	Staging() string
}

// ErrNotListed: a server has stored a backup, and the key may not list it there.
var ErrNotListed = errors.New("it is stored, and the server refuses to list it")

// sortNewest brings backups into the order of List.
func sortNewest(list []Backup) {
	slices.SortFunc(list, func(a, b Backup) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.Transaction, a.Transaction))
	})
}

// checkName returns an error for what is no name of a backup, such as a path.
func checkName(name string) error {
	if _, ok := ParseName(name); !ok {
		return fmt.Errorf("%.80q is no name of a backup, such as %s", name, NameOf(time.Time{}, 1))
	}
	return nil
}

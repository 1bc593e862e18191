package boltstore

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"accountservice/internal/store/boltstore/boltfile"
)

// reserveRetry is how long to leave a full disk alone.
const reserveRetry = 10 * time.Second

// reserve keeps disk space allocated to the file beyond what it uses, so that
// writes go on for a while when a neighbour fills the disk. The file's size
// stays as it is: bbolt grows into the space that it has already. On a file
// system that copies on write (Btrfs, ZFS) a page written anew takes new space
// all the same.
//
// It belongs to the committer.
type reserve struct {
	size int64 // bytes; 0 for none
	log  *slog.Logger

	file  *os.File // that end is of
	end   int64    // the file has space up to here
	retry time.Time
	none  bool // the file system has no such thing
}

// keep makes sure that f has the reserve. Most calls find that less than a
// quarter of it was used up, and do nothing more.
func (r *reserve) keep(f *os.File) {
	if r.size == 0 || r.none || time.Now().Before(r.retry) {
		return
	}
	m, _ := boltfile.InspectFile(f)
	if m.TxID == 0 {
		return // what is wrong is for the next commit to say
	}
	if f != r.file {
		r.file, r.end = f, 0 // from its beginning: a restored file may have holes
	}
	want := m.Size() + r.size
	if want-r.end < max(r.size/4, 1) {
		return
	}
	switch err := allocate(f, r.end, want-r.end); {
	case err == nil:
		r.end, r.retry = want, time.Time{}
	case errors.Is(err, errors.ErrUnsupported):
		r.none = true
		r.log.Info("the file system can't hold disk space in reserve for the database", "path", f.Name(), "err", err)
	default:
		if r.retry.IsZero() {
			r.log.Warn("no disk space can be held in reserve for the database", "path", f.Name(), "err", err)
		}
		r.retry = time.Now().Add(reserveRetry)
	}
}

// release gives back what a lost file has beyond what it uses, the reserve and
// what bbolt has grown it by: the copy that is to take its place needs the room.
func (r *reserve) release(h *handle) {
	if m, _ := boltfile.InspectFile(h.file); m.TxID == h.committed.Load() { // else it does not say what is used
		giveBack(h.file, m.Size()) // if it can't be, the copy says that there is no room
	}
	r.file, r.retry = nil, time.Time{}
}

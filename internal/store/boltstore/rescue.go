package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"accountservice/internal/awake"
	"accountservice/internal/store"
	"accountservice/internal/tempfile"
)

const (
	// rescueRate, in bytes a second, is how fast a copy goes at least, and rescueGrace what it may take beside: so
	// long a stop waits for it.
	rescueRate  = 16 << 20
	rescueGrace = 30 * time.Second
	// rescuePause is how long at least nothing is tried after a try without a copy.
	rescuePause = time.Second
	// unreadFor is how long no try may have read all pages until a copy without some is good enough: a path to the disk
	// that fails over takes less.
	unreadFor = 30 * time.Second
	// maxCopies bounds how many copies a process leaves: each one that is lost or changed later is followed by another.
	maxCopies = 8
)

// rescue saves the accounts of a database whose file is no longer at its path. The open file is then their last copy,
// and ends with this process. Therefore:
//
//   - from the moment the loss is seen, no write is acknowledged any more;
//   - a copy is made, read back, and put at the path if nothing stands there, or else kept beside;
//   - only then the store is latched, so that a restart opens what is there;
//   - while no copy can be made, the store keeps the accounts: it is read, takes no writes, and tries again;
//   - if the file comes back before that, the store goes on with it.
//
// Only the committer calls its methods that change anything, so that no commit comes after the copy.
type rescue struct {
	location
	h     *handle
	latch *latch
	clock *awake.Clock

	state  atomic.Pointer[rescueState]  // while the accounts are not saved; else nil
	result atomic.Pointer[rescueResult] // of the rescue that latched the store
	next   time.Time                    // when another try is worth it
	unread time.Time                    // the first of the tries in a row that could not read all pages, or zero
	copies int                          // how many were kept
	owned  *os.File                     // the copy at the path, locked as the database is, until the store is closed
}

// rescueState is a rescue under way, or one that waits for its next try.
type rescueState struct {
	reason error         // why the file is not at its path
	until  time.Duration // of the clock: from then on the copy under way is taken to hang
	err    error         // why the last try made no copy; nil during the first one
}

// rescueResult is where the accounts were saved.
type rescueResult struct {
	accounts int
	damage   error       // what the copy lacks
	at       string      // the path of the copy; "" if there is none
	file     fs.FileInfo // the copy, as its path shows it
	err      error       // why it is not at the path of the database
	final    bool        // no other copy will be made
}

// look asks whether the file is at its path, or its accounts were saved, and if not, whether a try is due. last is
// the try of a stop, after which there is none.
func (r *rescue) look(last bool) {
	switch lost := r.h.atPath(); {
	case lost == nil, r.result.Load().stillThere():
		if r.state.Swap(nil) != nil {
			r.log.Warn("the database is at its path again", "path", r.path)
		}
	case errors.Is(lost, errReplaced) && r.copies < maxCopies && (last || !time.Now().Before(r.next)):
		r.try(lost, last)
	}
}

func (r *rescue) try(lost error, last bool) {
	begun, before := time.Now(), r.state.Load()
	state := rescueState{reason: lost, until: r.clock.Now() + rescueGrace}
	if info, err := r.h.file.Stat(); err == nil {
		state.until += time.Duration(info.Size()/rescueRate) * time.Second
	}
	if before != nil {
		state.err = before.err
	}
	r.state.Store(&state)
	result := r.save(last)
	r.next = time.Now().Add(rescuePause + 4*time.Since(begun))
	switch {
	case result == nil:
		r.state.Store(nil)
	case isFault(result.err): // bbolt's locks may be held: nothing can be tried again
		r.latch.set(result.err)
		r.state.Store(nil)
	case result.at == "" && !last:
		r.state.Store(&rescueState{lost, state.until, result.err})
		if state.err == nil {
			r.log.Error("the database was lost and cannot be copied: do not stop this process, which has its last copy",
				"path", r.path, "reason", lost, "err", result.err)
		}
	default:
		r.conclude(lost, result, last)
	}
}

// conclude latches the store after its accounts were saved, or could not be at the last try. A stop that puts all of
// them at the path is a good end.
func (r *rescue) conclude(lost error, result *rescueResult, last bool) {
	if result.at != "" {
		r.copies++
		result.final = r.copies == maxCopies
	}
	if !last || result.at != r.path || result.damage != nil {
		r.result.Store(result)
		r.latch.set(lost)
	}
	r.state.Store(nil)
	log := r.log.With("path", r.path, "accounts", result.accounts, "reason", lost)
	if result.damage != nil {
		log = log.With("damage", result.damage)
	}
	switch result.at {
	case "":
		log.Error("the database was lost", "err", result.err)
	case r.path:
		log.Error("the database was put back, for a restart to serve")
	default:
		log.Error("the database was saved, and not put back", "copy", result.at, "err", result.err)
	}
}

// save makes a copy of the open database and puts it at the path if nothing stands there; else it keeps the copy
// where it made it. It returns nil if the file came back meanwhile. What may pass, such as a file system that is
// unmounted, a folder that takes no files or a page that cannot be read, is waited for, unless this is the last try.
func (r *rescue) save(last bool) *rescueResult {
	obstacle, exists := r.obstacle()
	if exists && (!last || r.rescueDir == filepath.Dir(r.path)) {
		return &rescueResult{err: obstacle}
	}
	c, err := r.h.copyFile(r.rescueDir, r.temporary(kindRescue))
	if err != nil {
		return &rescueResult{err: err}
	}
	result := new(rescueResult)
	var servable bool
	result.accounts, result.damage, servable = c.judge()
	if c.unread == nil {
		r.unread = time.Time{}
	} else if r.unread.IsZero() {
		r.unread = time.Now()
	}
	if c.unread != nil && !last && (time.Since(r.unread) < unreadFor || !servable) {
		c.discard()
		return &rescueResult{err: c.unread}
	}
	result.err = obstacle
	if !servable { // it is still the last copy
		result.err = errors.Join(obstacle, result.damage)
	}
	if r.putBack(c, result) {
		return result
	}
	defer c.Close()
	switch back := r.h.atPath() == nil; {
	case back:
		c.discard()
		return nil
	case !last && r.rescueDir == filepath.Dir(r.path) && servable && !errors.Is(result.err, fs.ErrExist):
		c.discard()
		return &rescueResult{err: result.err}
	}
	result.at = r.keep(c.Name())
	if result.file, err = os.Stat(result.at); err != nil { // as after an unmount
		return &rescueResult{err: fmt.Errorf("%w; and its copy is gone", result.err)}
	}
	return result
}

// putBack puts a copy at the path, unless result has an error already.
func (r *rescue) putBack(c *fileCopy, result *rescueResult) bool {
	if result.err != nil {
		return false
	}
	// locked, because another process must not write to it while this one may put another copy there; a failure is no
	// reason to keep it from its path
	tempfile.TryLock(c.File)
	if result.err = link(c.Name(), r.path); result.err != nil {
		return false
	}
	syncDir(filepath.Dir(r.path)) // without that a restart finds it all the same; the next try would find a file there
	os.Remove(c.Name())
	result.at = r.path
	result.file, _ = os.Stat(r.path)
	r.owned.Close()
	r.owned = c.File
	return true
}

// keep gives a copy the name that people look for, and returns where it is.
func (r *rescue) keep(name string) string {
	kept := filepath.Join(r.rescueDir, r.rescuedName()+time.Now().UTC().Format("20060102T150405.000Z"))
	if err := link(name, kept); err != nil {
		kept = name // it has a name already
	} else {
		os.Remove(name)
	}
	syncDir(r.rescueDir)
	return kept
}

// obstacle is why a copy in the folder of the path would not replace the file, or nil. exists is true if the file still
// exists where no process can open it by the path: it cannot be seen there, or its file system is unmounted, and a copy
// in the empty mount point would be hidden by the next mount.
func (r *rescue) obstacle() (why error, exists bool) {
	file, err := r.h.file.Stat()
	if err != nil {
		return err, true
	}
	_, unseen := os.Stat(r.path)
	if unseen != nil && !errors.Is(unseen, fs.ErrNotExist) && !errors.Is(unseen, syscall.ENOTDIR) && !r.h.deleted(file) {
		return unseen, true
	}
	dir := filepath.Dir(r.path)
	folder, err := os.Stat(dir)
	switch {
	case err != nil: // the copy, or putting it there, fails for it
		return nil, false
	case device(folder) == r.h.folderDev:
		return nil, false
	case r.h.deleted(file):
		return fmt.Errorf("%s is on another file system than the file was", dir), false
	}
	return fmt.Errorf("%s is on another file system than the open file, which is whole where it is: "+
		"mount that again", dir), true
}

// stillThere reports whether the copy is still where it was saved, as it was saved. Its inode is not compared: some
// file systems (mergerfs) make up the number, from the name.
func (r *rescueResult) stillThere() bool {
	if r == nil || r.file == nil {
		return false
	}
	info, err := os.Stat(r.at)
	return err == nil && info.Size() == r.file.Size() && info.ModTime().Equal(r.file.ModTime())
}

// explain adds to the reason of a failure what became of the accounts, if that is the question. It asks the disk: a
// copy can be deleted too.
func (r *rescue) explain(failure error) error {
	saved := r.result.Load()
	if failure == nil || saved == nil {
		return failure
	}
	var words string
	switch {
	case r.h.atPath() == nil:
		words = "the file is back at its path; a restart serves it"
	case saved.at == "":
		words = fmt.Sprintf("its accounts could not be saved: %v", saved.err)
	case !saved.stillThere():
		words = fmt.Sprintf("its %d accounts were saved in %s, and that is gone or changed since", saved.accounts, saved.at)
		if saved.final {
			words += fmt.Sprintf("; after %d copies no more are made", maxCopies)
		}
	case saved.at == r.path && saved.damage != nil:
		words = fmt.Sprintf("%d accounts were put back at the path; a restart serves them; the others are damaged: %v",
			saved.accounts, saved.damage)
	case saved.at == r.path:
		words = fmt.Sprintf("all %d accounts were put back at the path; a restart serves them", saved.accounts)
	default:
		words = fmt.Sprintf("its %d accounts are kept in %s (not put back: %v)", saved.accounts, saved.at, saved.err)
	}
	return fmt.Errorf("%w; %s", failure, words)
}

// unsaved is why no write can be taken: the file was lost, and its accounts are not saved yet. It is nil when they
// cannot be saved any more: a try that is under way as bbolt gets stuck may never end.
func (r *rescue) unsaved() error {
	const keep = "do not stop this process, which has its last copy"
	switch state := r.state.Load(); {
	case state == nil, !r.latch.alive():
		return nil
	case state.err == nil:
		return fmt.Errorf("%w: its accounts are being copied, and until then it takes no writes: %w",
			store.ErrUnavailable, state.reason)
	case noSpace(state.err):
		return fmt.Errorf("%w: %w; free some space, and it is put back; %s: %w",
			store.ErrNoSpace, state.reason, keep, state.err)
	default:
		return fmt.Errorf("%w: %w; it cannot be copied: %w; when that is mended, the service puts it back by itself; %s",
			store.ErrUnavailable, state.reason, state.err, keep)
	}
}

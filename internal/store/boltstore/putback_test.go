package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
)

var losses = map[string]func(t *testing.T, path string){
	"deleted":    func(t *testing.T, p string) { must(t, os.Remove(p)) },
	"moved away": func(t *testing.T, p string) { must(t, os.Rename(p, fmt.Sprint(p, ".moved", time.Now().UnixNano()))) },
	"all files of its folder deleted": func(t *testing.T, p string) {
		names, err := filepath.Glob(filepath.Join(filepath.Dir(p), "*"))
		must(t, err)
		for _, name := range names {
			must(t, os.RemoveAll(name))
		}
	},
}

func TestLostDatabaseIsPutBackUnderLoadAndServesOn(t *testing.T) {
	const seeds = 1000
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, seeds)
			c := clientsOf(t, s, seeds)
			c.more(t, 50)
			goroutines, open := runtime.NumGoroutine(), openBelow(t, filepath.Dir(path))
			for range 3 {
				before := s.handle()
				lose(t, path)
				awaitBack(t, s)
				if s.handle() == before {
					t.Errorf("the store serves the lost file")
				}
				c.more(t, 50)
			}
			read := c.reads.Load()
			await(t, "more reads", func() bool { return c.reads.Load() > read })
			await(t, "the lost files closed", func() bool {
				return openBelow(t, filepath.Dir(path)) == open && runtime.NumGoroutine() <= goroutines+maxReaders
			})
			if _, err := os.Stat(witness(path)); err != nil {
				t.Errorf("witness: %v", err)
			}
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*resc*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q %v", left, err)
			}
			c.end()
			if c.refused == 0 {
				t.Errorf("no write was refused: the loss was not noticed")
			}
			holdsAll(t, s, c.acked, seeds)
			storetest.Close(t, s)
			if n := openBelow(t, filepath.Dir(path)); n != 0 {
				t.Errorf("%d descriptors and maps are left after Close", n)
			}
			again := openAt(t, path)
			holdsAll(t, again, c.acked, seeds)
			again.tidy() // finds nothing to say or remove
		})
	}
}

func TestLostDatabaseIsPutBackWithoutAnyWrite(t *testing.T) {
	s, path := seeded(t, 10)
	must(t, os.Chmod(path, 0o640))
	must(t, os.Remove(path))
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "deleted or moved away") {
		t.Errorf("Check = %v, want that the file was deleted", err)
	}
	awaitBack(t, s)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v; want the mode that the file had", info.Mode(), err)
	}
	if _, err := s.Put(t.Context(), "10000", store.Draft{Name: "after"}, store.Preconditions{}); err != nil {
		t.Errorf("Put = %v", err)
	}
	must(t, s.CheckRecords(t.Context()))
	storetest.Close(t, s)
	again := openAt(t, path)
	if acc, err := again.Get(t.Context(), "10000"); err != nil || acc.Name != "after" || len(all(t, again)) != 10 {
		t.Errorf("%+v, %v", acc, err)
	}
}

func TestFileThatCameBackIsServedOn(t *testing.T) {
	s, path := seeded(t, 10)
	before := s.handle()
	must(t, s.update(t.Context(), nil, func(tx *bbolt.Tx) error { // in the committer, between two looks at the path
		must(t, os.Rename(path, path+".old"))
		lost := s.identity(before)
		must(t, os.Rename(path+".old", path))
		if !errors.Is(lost, errReplaced) {
			t.Errorf("identity = %v, want that it was moved away", lost)
		}
		s.rescue(false)
		return putName("10000", "after")(tx)
	}))
	if acc, err := s.Get(t.Context(), "10000"); err != nil || acc.Name != "after" || s.handle() != before {
		t.Errorf("Get = %+v, %v; want the same file served", acc, err)
	}
}

// A reader may be under way when the file is lost, and for long.
func TestReaderUnderWayKeepsTheLostFileOpenAndHoldsUpNobody(t *testing.T) {
	s, path := seeded(t, 10)
	old := s.handle()
	reading, goOn := make(chan struct{}), make(chan struct{})
	read := make(chan error, 1)
	go func() {
		_, err := view(t.Context(), s, func(snap boltfile.Snapshot) (bool, error) {
			close(reading)
			<-goOn
			return true, checkBuckets(snap)
		})
		read <- err
	}()
	<-reading
	must(t, os.Remove(path))
	s.reportLost()
	awaitBack(t, s)
	if s.handle() == old {
		t.Fatal("the store serves the lost file")
	}
	if _, err := s.Put(t.Context(), "10000", store.Draft{Name: "after"}, store.Preconditions{}); err != nil {
		t.Errorf("Put = %v", err)
	}
	if acc, err := s.Get(t.Context(), "10000"); err != nil || acc.Name != "after" {
		t.Errorf("Get = %+v, %v", acc, err)
	}
	if _, err := old.file.Stat(); err != nil {
		t.Errorf("the lost file was closed under its reader: %v", err)
	}
	close(goOn)
	if err := <-read; err != nil {
		t.Errorf("the reader got %v", err)
	}
	await(t, "the lost file closed", func() bool { _, err := old.file.Stat(); return errors.Is(err, os.ErrClosed) })
}

// A service that is killed for it would have nothing to start with.
func TestRescueIsNoReasonForARestart(t *testing.T) {
	s, path := seeded(t, 60_000)
	must(t, os.Remove(path))
	s.reportLost()
	await(t, "a rescue", func() bool { return s.saving.Load() != nil || s.identityNow() == nil })
	for s.saving.Load() != nil {
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check while the accounts are copied = %v", err)
		}
	}
	must(t, s.CheckRecords(t.Context()))
	must(t, s.Check(t.Context()))
	for _, late := range []time.Duration{time.Minute, -time.Second} {
		gone := filepath.Join(t.TempDir(), "gone")
		stuck := &Store{path: gone, lost: make(chan struct{}, 1)}
		stuck.current.Store(s.handle())
		stuck.saving.Store(&saving{reason: errReplaced, until: time.Now().Add(late)})
		if err := stuck.inPlace(s.handle()); (err == nil) != (late > 0) {
			t.Errorf("a rescue with %s left: %v", late, err)
		}
		if err := stuck.CheckRecords(t.Context()); err == nil || !strings.Contains(err.Error(), "are being copied") {
			t.Errorf("CheckRecords = %v, want what goes on", err)
		}
	}
}

func TestStopWaitsForARescue(t *testing.T) {
	s, path := seeded(t, 60_000)
	must(t, os.Remove(path))
	s.reportLost()
	await(t, "a rescue", func() bool { return s.saving.Load() != nil || s.identityNow() == nil })
	up, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Close(up)
	if err != nil && s.saving.Load() == nil { // it was over before Close looked
		t.Skipf("the rescue was over at once: %v", err)
	}
	if err != nil {
		t.Errorf("Close during a rescue, with its time up = %v", err)
	}
	if n := len(all(t, openAt(t, path))); n != 60_000 {
		t.Errorf("%d accounts, want 60000", n)
	}
}

func (s *Store) identityNow() error {
	h, err := s.hold()
	if err != nil {
		return err
	}
	defer h.release()
	return s.identity(h)
}

func TestFileThatIsLostTooOftenLatchesAndIsPutBackForARestart(t *testing.T) {
	s, path := seeded(t, 10)
	for range maxRescues {
		must(t, os.Remove(path))
		awaitBack(t, s)
	}
	must(t, os.Remove(path))
	awaitNote(t, s, fmt.Sprintf("time %d within a minute; all 10 accounts were put back", maxRescues+1))
	if _, err := s.Get(t.Context(), "10000"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Get = %v, want ErrUnavailable", err)
	}

	must(t, os.Remove(path)) // of a store that does nothing any more
	err := s.Check(t.Context())
	if err == nil || strings.Contains(err.Error(), "were put back") {
		t.Errorf("Check = %v; the file is not there", err)
	}
	awaitNote(t, s, "all 10 accounts were put back") // for it is still the last who has them
	storetest.Close(t, s)
	if n := len(all(t, openAt(t, path))); n != 10 {
		t.Errorf("%d accounts, want 10", n)
	}
}

func TestLossesOfLongAgoDontCount(t *testing.T) {
	s, path := seeded(t, 10)
	for range maxRescues + 2 {
		must(t, os.Remove(path))
		awaitBack(t, s)
		for s.saving.Load() != nil {
			runtime.Gosched()
		}
		must(t, s.update(t.Context(), nil, func(*bbolt.Tx) error { // in the committer, whose they are
			s.rescues[len(s.rescues)-1] = time.Now().Add(-2 * time.Minute)
			return nil
		}))
	}
}

func TestFolderThatComesBackGetsItsDatabase(t *testing.T) {
	s, path := seeded(t, 10)
	must(t, os.RemoveAll(filepath.Dir(path)))
	awaitNote(t, s, "its accounts could not be saved")
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	awaitNote(t, s, "all 10 accounts were put back")
	storetest.Close(t, s)
	if n := len(all(t, openAt(t, path))); n != 10 {
		t.Errorf("%d accounts, want 10", n)
	}
}

// What ended a store may hang whoever reads its file: a stop leaves that alone.
func TestStopOfAStoreThatFailedReadsNothing(t *testing.T) {
	s, path := seeded(t, 10)
	s.latch(&fault{value: "locks may be held"})
	must(t, os.Remove(path))
	storetest.Close(t, s)
	<-s.stopped
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.db*")); err != nil || !slices.Equal(left, []string{witness(path)}) {
		t.Errorf("in the folder: %q, %v; want only the witness", left, err)
	}
}

// The file can go just before the stop, when no check has noticed it yet.
func TestFileLostJustBeforeTheStopIsPutBack(t *testing.T) {
	for name, remove := range map[string]func(string) error{
		"deleted":    os.Remove,
		"moved away": func(p string) error { return os.Rename(p, p+".moved") },
	} {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 30)
			must(t, remove(path))
			storetest.Close(t, s)
			if n := len(all(t, openAt(t, path))); n != 30 {
				t.Errorf("%d accounts after the stop, want 30", n)
			}
		})
	}
}

package boltstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
)

// clients write and read until they are stopped, whatever they are answered.
type clients struct {
	mu      sync.Mutex
	acked   map[store.ID]store.Account
	refused int
	reads   atomic.Int64
	stop    context.CancelFunc
	all     sync.WaitGroup
}

// clientsOf starts 16 writers of new accounts and 4 readers of seeded ones, who
// must never be refused.
func clientsOf(t *testing.T, s *Store, seeds int) *clients {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &clients{acked: make(map[store.ID]store.Account), stop: cancel}
	t.Cleanup(c.end)
	for w := range 16 {
		c.all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				w, err := s.Put(t.Context(), store.ID(fmt.Sprintf("w%d-%d", w, i)), store.Draft{Name: "x"}, store.Terms{})
				c.mu.Lock()
				switch {
				case err == nil:
					c.acked[w.Account.ID] = w.Account
				case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrOutcomeUnknown):
					c.refused++
				default:
					t.Errorf("Put = %v", err)
				}
				c.mu.Unlock()
				if err != nil {
					time.Sleep(time.Millisecond) // as clients that try again do
				}
			}
		})
	}
	for r := range 4 {
		c.all.Go(func() {
			for i := r; ctx.Err() == nil; i++ {
				n := i % seeds
				acc, err := s.Get(t.Context(), store.ID(fmt.Sprint(10000+n)))
				if err != nil && strings.Contains(err.Error(), "its disk has not answered") {
					time.Sleep(time.Millisecond) // so it is, on a machine as busy as that
					continue
				}
				if err != nil || acc.Name != fmt.Sprint("Person_", n) {
					t.Errorf("Get %d = %+v, %v; want it served throughout", n, acc, err)
					return
				}
				c.reads.Add(1)
			}
		})
	}
	return c
}

// more waits until that many more writes were acknowledged.
func (c *clients) more(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.acked)
	}
	from := count()
	await(t, fmt.Sprint(n, " more writes"), func() bool { return count() >= from+n })
}

func (c *clients) end() {
	c.stop()
	c.all.Wait()
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// awaitBack waits until the store has the file at its path open and is well.
func awaitBack(t *testing.T, s *Store) {
	t.Helper()
	await(t, "the database at its path", func() bool {
		return s.Check(t.Context()) == nil && s.saving.Load() == nil && s.identityNow() == nil
	})
}

// holdsAll compares a store to what was acknowledged and seeded.
func holdsAll(t *testing.T, s *Store, acked map[store.ID]store.Account, seeds int) {
	t.Helper()
	there := make(map[store.ID]store.Account)
	for _, acc := range all(t, s) {
		there[acc.ID] = acc
	}
	for id, acc := range acked {
		if !there[id].Equal(acc) {
			t.Errorf("%s = %+v, want %+v", id, there[id], acc)
		}
	}
	for n := range seeds {
		if id := store.ID(fmt.Sprint(10000 + n)); there[id].Name != fmt.Sprint("Person_", n) {
			t.Errorf("seeded account %s = %+v", id, there[id])
		}
	}
}

// openBelow counts the open descriptors and maps of this process that are of files
// below dir, deleted ones too.
func openBelow(t *testing.T, dir string) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil && strings.HasPrefix(name, dir) {
			n++
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	return n + strings.Count(string(maps), " "+dir)
}

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
	if _, err := s.Put(t.Context(), "10000", store.Draft{Name: "after"}, store.Terms{}); err != nil {
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
		s.rescue()
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
		_, err := view(t.Context(), s, func(snap snapshot) (bool, error) {
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
	if _, err := s.Put(t.Context(), "10000", store.Draft{Name: "after"}, store.Terms{}); err != nil {
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
	said := ""
	for s.saving.Load() != nil {
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check while the accounts are copied = %v", err)
		}
		if err := s.CheckRecords(t.Context()); err != nil {
			said = err.Error()
		}
	}
	if !strings.Contains(said, "are being copied") || !strings.Contains(said, "deleted") {
		t.Errorf("CheckRecords said %q, want what goes on", said)
	}
	must(t, s.CheckRecords(t.Context()))
	must(t, s.Check(t.Context()))
	for _, late := range []time.Duration{time.Minute, -time.Second} {
		gone := filepath.Join(t.TempDir(), "gone")
		stuck := &Store{path: gone, lost: make(chan struct{}, 1)}
		stuck.current.Store(s.handle())
		stuck.saving.Store(&saving{errReplaced, time.Now().Add(late)})
		if err := stuck.inPlace(s.handle()); (err == nil) != (late > 0) {
			t.Errorf("a rescue with %s left: %v", late, err)
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
	if s.saving.Load() == nil {
		t.Skip("the rescue was over at once")
	}
	if err := s.Close(up); err != nil {
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

// withRescueDir is a store of 10 accounts whose copies go elsewhere.
func withRescueDir(t *testing.T, dir string) (s *Store, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "accounts.db")
	s, err := Open(t.Context(), Options{Path: path, OpenTimeout: time.Second, RescueDir: dir})
	must(t, err)
	t.Cleanup(func() { s.Close(context.Background()) })
	_, err = s.Seed(t.Context(), store.Fakes(10))
	must(t, err)
	return s, path
}

func TestRescueDirOfTheSameFileSystemServesOn(t *testing.T) {
	dir := t.TempDir()
	s, path := withRescueDir(t, dir)
	must(t, os.Remove(path))
	awaitBack(t, s)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("in the rescue folder: %v, %v; want nothing", left, err)
	}
	if _, err := s.Put(t.Context(), "10000", store.Draft{Name: "after"}, store.Terms{}); err != nil {
		t.Errorf("Put = %v", err)
	}
}

func TestRescueDirKeepsWhatCantBePutBack(t *testing.T) {
	for name, c := range map[string]struct {
		lose   func(t *testing.T, path string)
		device bool
		why    string
	}{
		"another file system": {func(t *testing.T, p string) { must(t, os.Remove(p)) }, true, "cross-device link"},
		"its folder removed":  {func(t *testing.T, p string) { must(t, os.RemoveAll(filepath.Dir(p))) }, false, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.device {
				mountSmall(t, dir)
			}
			s, path := withRescueDir(t, dir)
			c.lose(t, path)
			kept := filepath.Join(dir, "accounts.db.rescued-")
			awaitNote(t, s, "its 10 accounts are kept in "+kept)
			if err := s.Check(t.Context()); !strings.Contains(err.Error(), c.why) {
				t.Errorf("Check = %v, want why it was not put back: %s", err, c.why)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("at the path: %v, want nothing", err)
			}
			storetest.Close(t, s)
			copies, err := filepath.Glob(kept + "*")
			if err != nil || len(copies) != 1 {
				t.Fatalf("copies %q, %v", copies, err)
			}
			if c.device { // the folder with the witness is there
				_, err := Open(t.Context(), Options{Path: path, OpenTimeout: time.Second, RescueDir: dir})
				if err == nil || !strings.Contains(err.Error(), copies[0]) {
					t.Errorf("Open = %v, want the copy named", err)
				}
			}
			if n := len(all(t, openAt(t, copies[0]))); n != 10 {
				t.Errorf("the copy has %d accounts, want 10", n)
			}
		})
	}
}

func TestRescueDirThatCantBeUsedIsAnErrorAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	_, err := Open(t.Context(), Options{Path: path, OpenTimeout: time.Second, RescueDir: filepath.Join(t.TempDir(), "none")})
	if err == nil || !strings.Contains(err.Error(), "store.bolt.rescue_dir") {
		t.Errorf("Open = %v, want the setting named", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a database was made: %v", err)
	}
}

func TestFullDiskLeavesNoHalfCopyAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	mountSmall(t, dir)
	s := openAt(t, filepath.Join(dir, "accounts.db"))
	_, err := s.Seed(t.Context(), store.Fakes(20_000))
	must(t, err)
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 1<<16))
	}
	must(t, f.Close())
	must(t, os.Remove(s.path))
	awaitNote(t, s, "could not be saved: ")
	if err := s.Check(t.Context()); !noSpace(err) {
		t.Errorf("Check = %v, want that there is no space", err)
	}
	if left := s.temporary(dir, "rescue-"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	must(t, os.Remove(filler))
	awaitNote(t, s, "all 20000 accounts were put back")
}

// Every page counts, also those that no account needs.
func TestCopyWithADamagedListOfFreePagesIsKeptAndNotServed(t *testing.T) {
	s, path := seeded(t, 3000)
	for i := range 20 { // so that pages are free
		must(t, s.Delete(t.Context(), store.ID(fmt.Sprint(10000+i*100)), store.Terms{}))
	}
	m, err := inspectFile(s.handle().file)
	must(t, err)
	spoil(t, path, int64(m.freelist)*m.pageSize+pageHeader, []byte{3}) // a page that is in use
	must(t, os.Remove(path))
	awaitNote(t, s, "are kept in "+path+".rescued-")
	if err := s.Check(t.Context()); !strings.Contains(err.Error(), "the copy is damaged: page") {
		t.Errorf("Check = %v, want the damage", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("at the path: %v, want nothing", err)
	}
}

func TestLossIsLoggedOnceWithItsAccounts(t *testing.T) {
	var log strings.Builder
	path := filepath.Join(t.TempDir(), "accounts.db")
	s, err := Open(t.Context(), Options{Path: path, OpenTimeout: time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	_, err = s.Seed(t.Context(), store.Fakes(10))
	must(t, err)
	must(t, os.Remove(path))
	awaitBack(t, s)
	storetest.Close(t, s)
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "level=WARN msg=\"the database was put back\"") ||
		!strings.Contains(log.String(), "accounts=10") {
		t.Errorf("log:\n%s", log.String())
	}
}

func TestLeftoversOfACrashAreRemovedAndCopiesAreNot(t *testing.T) {
	s, path := seeded(t, 10)
	storetest.Close(t, s)
	dir := filepath.Dir(path)
	old := time.Now().Add(-2 * leftoverAge)
	stays := map[string]bool{
		".accounts.db.new-123":          false,
		".accounts.db.witness-9":        false,
		".accounts.db.rescue-7":         true,
		"accounts.db.rescued-2026":      true,
		".accounts.db.new-":             true,
		".accounts.db.new-12x":          true,
		".accounts.db.newer-12":         true,
		".other.db.new-123":             true,
		".accounts.db.witness-9.backup": true,
	}
	for name := range stays {
		writeFile(t, filepath.Join(dir, name), []byte("x"))
		must(t, os.Chtimes(filepath.Join(dir, name), old, old))
	}
	must(t, os.Mkdir(filepath.Join(dir, ".accounts.db.new-1"), 0o700))
	stays[".accounts.db.new-1"] = true
	must(t, os.Link(path, filepath.Join(dir, ".accounts.db.rescue-8"))) // it was put back, and then came the crash
	stays[".accounts.db.rescue-8"] = false
	writeFile(t, filepath.Join(dir, ".accounts.db.new-5"), nil) // made just now, perhaps by another process
	stays[".accounts.db.new-5"] = true
	var log strings.Builder
	s, err := Open(t.Context(), Options{Path: path, OpenTimeout: time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	defer storetest.Close(t, s)
	for name, want := range stays {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", name, err, want)
		}
	}
	for _, copied := range []string{".accounts.db.rescue-7", "accounts.db.rescued-2026"} {
		if !strings.Contains(log.String(), copied) {
			t.Errorf("the log does not name %s:\n%s", copied, log.String())
		}
	}
	if n := len(all(t, s)); n != 10 {
		t.Errorf("%d accounts, want 10", n)
	}
}

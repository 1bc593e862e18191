package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// injector makes system calls of one thread fail.
type injector struct{ thread int }

// injectorHere makes system calls of the test itself fail.
func injectorHere(t *testing.T) injector {
	t.Helper()
	runtime.LockOSThread() // until the test ends
	return injector{syscall.Gettid()}
}

// injectorOf keeps the committer on one thread, so that strace can count its calls.
func injectorOf(t *testing.T, s *boltstore.Store) injector {
	t.Helper()
	var thread int
	must(t, s.CommitForTest(func(*bbolt.Tx) error {
		runtime.LockOSThread() // until the committer ends
		thread = syscall.Gettid()
		return nil
	}))
	return injector{thread}
}

// fail makes calls fail as strace's expressions say, until end is called. end returns how many did.
func (i injector) fail(t *testing.T, injections ...string) (end func() int) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-p", fmt.Sprint(i.thread), "-o", trace, "-e", "trace=desc")
	for _, injection := range injections {
		cmd.Args = append(cmd.Args, "-e", "inject="+injection)
	}
	var said []byte
	attached, err := os.CreateTemp(t.TempDir(), "stderr")
	must(t, err)
	defer attached.Close()
	cmd.Stderr = attached
	must(t, cmd.Start())
	await(t, "strace", func() bool {
		said, err = os.ReadFile(attached.Name())
		return err != nil || strings.Contains(string(said), "\n")
	})
	end = func() int {
		if cmd.ProcessState == nil {
			cmd.Process.Signal(syscall.SIGINT)
			cmd.Wait()
		}
		b := readFile(t, trace)
		return strings.Count(string(b), "(INJECTED)")
	}
	t.Cleanup(func() { end() })
	if !strings.Contains(string(said), "attached") {
		t.Skipf("strace: %s", said)
	}
	return end
}

// Each call of a commit can be the one that finds no room: bbolt's own undoing must not be relied on where the meta
// page was written.
func TestNoRoomAtAnyCallOfACommit(t *testing.T) {
	t.Parallel()
	for _, errno := range []string{"ENOSPC", "EDQUOT", "EFBIG"} {
		for _, lasts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s lasts %v", errno, lasts), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "accounts.db")
				s := openAt(t, path) // of four pages, so that it has to grow
				inject := injectorOf(t, s)
				c := refusedCommits{s: s, acked: make(map[store.ID]bool)}
				for _, call := range []string{"ftruncate", "fsync", "pwrite64", "fdatasync"} {
					for at := 1; ; at++ {
						if at > 30 {
							t.Fatalf("a commit has more than 30 calls of %s", call)
						}
						injections := []string{fmt.Sprintf("%s:error=%s:when=%d", call, errno, at)}
						if lasts {
							injections = []string{injections[0] + "+", "fsync:error=" + errno}
						}
						end := inject.fail(t, injections...)
						c.refused(t, call, at)
						if failed := end(); failed == 0 || lasts && at > 3 {
							break
						}
						c.healed(t)
					}
				}
				c.judge(t, path)
			})
		}
	}
}

// refusedCommits are writes to a store whose disk sometimes has no room.
type refusedCommits struct {
	s       *boltstore.Store
	n       int
	acked   map[store.ID]bool
	refusal int
}

func (c *refusedCommits) put(t *testing.T) (store.ID, error) {
	c.n++
	id := store.ID(fmt.Sprint("new-", c.n))
	_, err := c.s.Put(t.Context(), id, store.Draft{Name: strings.Repeat("x", 250)}, store.Preconditions{})
	if err == nil {
		c.acked[id] = true
	}
	return id, err
}

// refused makes writes while a call fails, and wants each answer to be true and reads to go on.
func (c *refusedCommits) refused(t *testing.T, calls string, at int) {
	t.Helper()
	for range 3 {
		id, err := c.put(t)
		_, there := c.s.Get(t.Context(), id)
		switch {
		case err == nil && there == nil:
		case errors.Is(err, store.ErrNoSpace) && errors.Is(there, store.ErrNotFound):
			c.refusal++
		case errors.Is(err, store.ErrOutcomeUnknown) && there == nil: // completed when there is room
			c.refusal++
			c.acked[id] = true
		default:
			t.Fatalf("call %d of %s failed: Put = %v, then Get = %v", at, calls, err, there)
		}
	}
	must(t, errors.Join(c.s.Check(t.Context()), c.s.CheckRecords(t.Context())))
}

func (c *refusedCommits) healed(t *testing.T) {
	t.Helper()
	wantErr(t, c.s.CheckWritable(t.Context()), store.ErrNoSpace)
	must(t, errOf(c.put(t)))
}

// judge wants everything acknowledged in a whole file.
func (c *refusedCommits) judge(t *testing.T, path string) {
	t.Helper()
	if c.refusal == 0 {
		t.Error("no write was refused")
	}
	storetest.Close(t, c.s)
	wantIntact(t, path)
	s := openAt(t, path)
	for id := range c.acked {
		must(t, errOf(s.Get(t.Context(), id)))
	}
	t.Logf("%d writes acknowledged, %d refused", len(c.acked), c.refusal)
}

// After a failed fsync the system takes the meta page for written. When it needs the memory it drops the page, and
// reads what is on the disk: the one before.
func TestMetaPageThatTheSystemDropsUndoesTheCommit(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 2000)
	inject := injectorOf(t, s)
	must(t, s.Delete(t.Context(), "10001", store.Preconditions{}))
	slot, before := olderMeta(t, path)
	end := inject.fail(t, "fdatasync:error=ENOSPC:when=2+", "fsync:error=ENOSPC")
	wantErr(t, putName(t, s, "10000", "undone"), store.ErrOutcomeUnknown)
	wantName(t, s, "10000", "undone")
	spoil(t, path, slot, before)
	wantErr(t, putName(t, s, "10000", "refused"), store.ErrNoSpace)
	wantName(t, s, "10000", "Person_0")
	end()
	for id := range 1000 {
		must(t, putName(t, s, store.ID(fmt.Sprint(10100+id)), "after"))
	}
	must(t, errors.Join(s.Check(t.Context()), s.CheckRecords(t.Context())))
	closesIntact(t, s, path)
}

// A read that lasts, as on a page that hangs, keeps its pages, and stops no other read.
func TestReadsGoOnWhileTheFileIsOpenedAnew(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 2000)
	put := func() error { return putName(t, s, "10000", "x") }
	must(t, s.ReadForTest(func() {
		end := injectorOf(t, s).fail(t, "fdatasync:error=ENOSPC:when=2+")
		wantErr(t, put(), store.ErrOutcomeUnknown)
		end()
		wantErr(t, put(), store.ErrUnavailable)
		wantName(t, s, "10000", "x")
		must(t, errors.Join(s.Check(t.Context()), s.CheckRecords(t.Context())))
	}))
	for range 20 {
		must(t, put())
	}
	must(t, s.Check(t.Context()))
}

func TestNewDatabaseOnAFullDiskSaysWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.SmallDisk(t, dir, "size=1m")
	harness.Fill(t, dir)
	_, _, err := tryOpen(t, filepath.Join(dir, "accounts.db"), boltstore.Options{})
	wantWords(t, err, "free some space")
}

// A start writes: a damaged meta page anew, and which newer copies there are.
func TestStartOnAFullDiskServesAndWritesLater(t *testing.T) {
	t.Parallel()
	for name, calls := range map[string][]string{
		"the data":       {"pwrite64:error=ENOSPC", "fdatasync:error=ENOSPC", "ftruncate:error=ENOSPC"},
		"the meta page":  {"fdatasync:error=ENOSPC:when=2+", "fsync:error=ENOSPC"},
		"each meta page": {"fdatasync:error=ENOSPC:when=2+2", "fsync:error=ENOSPC"},
		"the witness":    {"fsync:error=ENOSPC"}, // not write: the testing package writes too
	} {
		t.Run(name, func(t *testing.T) {
			s, path, later := restored(t)
			must(t, putName(t, s, "1", "before"))
			storetest.Close(t, s)
			must(t, os.Rename(later, later+"x")) // to be remembered anew
			at, _ := olderMeta(t, path)
			spoil(t, path, at+boltfile.HeaderSize+56, []byte{0xa5})
			end := injectorHere(t).fail(t, calls...)
			s, _, err := tryOpen(t, path, boltstore.Options{})
			if end() == 0 {
				t.Error("the start wrote nothing")
			}
			must(t, err)
			wantName(t, s, "1", "before")
			wantUndecided(t, s, later)
			closesIntact(t, s, path)
		})
	}
}

// The statistics of the file system say that there is room.
func TestRefusedWritesAreSaidUntilOneSucceeds(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 100)
	must(t, s.CheckWritable(t.Context()))
	end := injectorOf(t, s).fail(t, "fdatasync:error=EDQUOT")
	wantErr(t, putName(t, s, "10000", "x"), store.ErrNoSpace)
	wantErr(t, s.CheckWritable(t.Context()), store.ErrNoSpace)
	s.LaterForTest(time.Minute) // then the service tries
	refused := s.CheckWritable(t.Context()).Error()
	await(t, "a try that is refused", func() bool { return s.CheckWritable(t.Context()).Error() != refused }) // and when
	wantWords(t, s.CheckWritable(t.Context()), "disk quota exceeded")
	end()
	must(t, putName(t, s, "10000", "x"))
	wantErr(t, s.CheckWritable(t.Context()), store.ErrNoSpace) // one success in between proves little
	s.LaterForTest(time.Minute)
	await(t, "a try that succeeds", func() bool { return s.CheckWritable(t.Context()) == nil })
	closesIntact(t, s, path)
}

// A second service, or an export, waits for the lock.
func TestFileThatIsOpenedAnewStaysLocked(t *testing.T) {
	s, path := seeded(t, 10)
	other, err := os.Open(path)
	must(t, err)
	defer other.Close()
	lock := func(how int) error { return syscall.Flock(int(other.Fd()), how|syscall.LOCK_NB) }
	ctx, opened := context.WithCancel(t.Context())
	var trying sync.WaitGroup
	trying.Go(func() {
		for ctx.Err() == nil {
			if lock(syscall.LOCK_SH) == nil {
				t.Error("the lock was released")
				return
			}
		}
	})
	end := injectorOf(t, s).fail(t, "fdatasync:error=ENOSPC")
	put := func() error { return putName(t, s, "1", "x") }
	for range 200 { // each one opens the file anew, because the one before found no room
		wantErr(t, put(), store.ErrNoSpace)
	}
	end()
	opened()
	trying.Wait()
	wantErr(t, lock(syscall.LOCK_SH), syscall.EWOULDBLOCK)
	must(t, put())
	storetest.Close(t, s)
	must(t, lock(syscall.LOCK_EX))
}

// The system may drop the meta page between two reads of it.
func TestMetaPageThatTheSystemDropsWhileItIsWrittenAgainIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 100)
	inject := injectorOf(t, s)
	must(t, s.Delete(t.Context(), "10001", store.Preconditions{}))
	slot, before := olderMeta(t, path)
	end := inject.fail(t, "fdatasync:error=ENOSPC:when=2", "pread64:delay_enter=100ms")
	done := make(chan error, 1)
	go func() { done <- putName(t, s, "10000", "undone") }()
	await(t, "the read of the page that is written again", func() bool {
		call := readFile(t, fmt.Sprintf("/proc/self/task/%d/syscall", inject.thread))
		var number, fd, buffer, size, at int64
		fmt.Sscanf(string(call), "%d %v %v %v %v", &number, &fd, &buffer, &size, &at)
		return number == syscall.SYS_PREAD64 && size == 4096 && at == slot
	})
	spoil(t, path, slot, before)
	wantErr(t, <-done, store.ErrNoSpace)
	end()
	wantName(t, s, "10000", "Person_0")
	must(t, putName(t, s, "10000", "after"))
	must(t, errors.Join(s.Check(t.Context()), s.CheckRecords(t.Context())))
}

func TestMetaPageOfAStartThatTheSystemDropsIsNotReadOn(t *testing.T) {
	t.Parallel()
	s, path, later := restored(t)
	storetest.Close(t, s)
	must(t, os.Rename(later, later+"x")) // to be remembered anew
	slot, before := olderMeta(t, path)
	end := injectorHere(t).fail(t, "fdatasync:error=ENOSPC:when=2")
	s = openAt(t, path)
	if end() != 1 {
		t.Error("the start wrote no meta page")
	}
	wantName(t, s, "10000", "Person_0")
	if _, known := s.Peek("10000"); known {
		t.Error("it is read without a read transaction, for which the next commit would wait")
	}
	spoil(t, path, slot, before)
	must(t, putName(t, s, "10000", "after"))
	wantName(t, s, "10000", "after")
}

// A disk whose sectors are longer than the read refuses it from the start on.
func TestRefusalOfReadsPastTheCacheIsSaidAtAStart(t *testing.T) {
	t.Parallel()
	path := closed(t, 10)
	inject := injectorHere(t)
	for at := 1; at <= 100; at++ {
		end := inject.fail(t, fmt.Sprintf("pread64:error=EINVAL:when=%d", at))
		s, log, err := tryOpen(t, path, boltstore.Options{})
		failed := end()
		if err == nil {
			storetest.Close(t, s)
		}
		switch {
		case strings.Contains(log.String(), "refuses reads past the page cache"):
			return
		case failed == 0:
			t.Fatalf("none of %d reads of a start was refused and said", at-1)
		}
	}
	t.Fatal("a start has more than 100 reads")
}

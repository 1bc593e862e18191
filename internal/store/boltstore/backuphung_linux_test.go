package boltstore_test

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

func TestServeRemoteFolder(*testing.T) { harness.ServeRemoteFolder() }

// TestHungBackupEndsWithTheStore: the folder of the backup hangs for ever while the read transaction is open.
func TestHungBackupEndsWithTheStore(t *testing.T) {
	t.Parallel()
	remote := harness.NewRemoteFolder(t)
	s := heavy(t, t.TempDir(), 40)
	ctx, cancel := context.WithCancel(t.Context())
	done := copyingUntil(t, ctx, s, staged(t, remote.Path))
	remote.Hang(t)
	defer remote.Answer(t)
	must(t, putName(t, s, "meanwhile", "written"))
	cancel()
	wantErr(t, <-done, context.Canceled)
	bounded, end := context.WithTimeout(t.Context(), 2*time.Second)
	defer end()
	if err := s.Close(bounded); err != nil {
		t.Errorf("the end of a store whose backup hangs is %v, though all that was acknowledged is on its disk", err)
	}
}

// A slow disk takes longer for the witness than a stop may wait.
func TestCloseIsWellWhenAllWritesAreOnASlowDisk(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	opens, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT, unix.O_RDONLY)
	if err == nil {
		err = unix.FanotifyMark(opens, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM, unix.AT_FDCWD, path+".witness")
	}
	if err != nil {
		t.Skipf("the witness cannot be kept from being opened: %v", err)
	}
	bounded, end := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer end()
	err = s.Close(bounded)
	must(t, unix.Close(opens)) // the witness is opened now
	must(t, err)
	storetest.Close(t, s)
}

// The next write waits for the end of the read transaction, and so would all writes and reads after it.
func TestHungBackupHoldsUpNoWriteThatNeedsALargerMap(t *testing.T) {
	remote := harness.NewRemoteFolder(t)
	s, outgrow := nearlyMapped(t)
	done := copying(t, s, staged(t, remote.Path))
	remote.Hang(t)
	defer remote.Answer(t)
	ended := make(chan time.Duration, 1)
	go func() { ended <- outgrow() }()
	select {
	case slowest := <-ended:
		t.Logf("the slowest write took %s", slowest)
	case <-time.After(9 * time.Second): // after 10 s the disk of the database is taken to hang
		remote.Answer(t)
		<-ended
		t.Error("a write waited for the folder of the backup")
	}
	must(t, s.Check(t.Context()))
	wantErr(t, <-done, store.ErrUnavailable, "does not answer")
	wantErr(t, errOf(s.Backup(t.Context(), nil)), boltstore.ErrBackupRuns) // what hangs is one copy
	remote.Answer(t)
	to := staged(t, t.TempDir())
	await(t, "another backup", func() bool { return errOf(s.Backup(t.Context(), to)) == nil })
}

func TestHungBackupHoldsUpNoWriteAfterOneWithoutRoom(t *testing.T) {
	t.Parallel()
	remote := harness.NewRemoteFolder(t)
	s := heavy(t, t.TempDir(), 40)
	end := injectorOf(t, s).fail(t, "fdatasync:error=ENOSPC:when=2+", "fsync:error=ENOSPC") // of the committer alone
	done := copying(t, s, staged(t, remote.Path))
	remote.Hang(t)
	defer remote.Answer(t)
	wantErr(t, putName(t, s, "heavy-00001", "x"), store.ErrOutcomeUnknown)
	end()
	await(t, "a write", func() bool { return putName(t, s, "heavy-00001", "x") == nil })
	wantErr(t, <-done, store.ErrUnavailable, "does not answer")
}

package boltfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/tests/harness"
)

func TestLockIsNotWaitedForWhileTheProcessStandsStill(t *testing.T) {
	const patience, stands = 5 * time.Second, 10 * time.Second
	for name, c := range map[string]struct {
		held time.Duration // by another process
		want error
	}{"held for a moment longer": {stands + time.Second, nil}, "held": {time.Hour, boltfile.ErrLocked}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "locked")
				harness.Must(t, os.WriteFile(path, nil, 0o600))
				holder, err := boltfile.Open(path, os.O_RDWR)
				harness.Must(t, err)
				harness.Must(t, boltfile.Lock(t.Context(), holder, syscall.LOCK_EX, 0, nil))
				f, err := boltfile.Open(path, os.O_RDWR)
				harness.Must(t, err)
				defer f.Close()
				release := time.AfterFunc(c.held, func() { holder.Close() })
				begun := time.Now()
				err = boltfile.Lock(t.Context(), f, syscall.LOCK_EX, patience, func() { time.Sleep(stands) })
				if took := time.Since(begun); !errors.Is(err, c.want) || took < stands || took > stands+patience+time.Second {
					t.Errorf("%v after %s, want %v", err, took, c.want)
				}
				if release.Stop() {
					holder.Close()
				}
			})
		})
	}
}

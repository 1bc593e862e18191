package boltstore_test

import (
	"context"
	"testing"
	"time"

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

package pgstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/pgstore"
	"accountservice/tests/harness"
)

func TestSilentHostLeavesTimeForTheOthers(t *testing.T) {
	t.Parallel()
	silent := harness.FullQueue(t, "tcp4", "127.0.0.1:0") // as a machine that has lost its power
	url := strings.Replace(fresh(t), "@", "@"+silent+",", 1)
	opts := options(t, url)
	opts.AcquireTimeout = 2 * time.Second
	s := open(t, opts)
	if _, err := s.Put(t.Context(), "ada", store.Draft{Name: "Ada"}, store.Preconditions{}); err != nil {
		t.Errorf("with a silent host before the primary: %v", err)
	}
}

func TestCheckNamesEachHostThatCannotBeReached(t *testing.T) {
	t.Parallel()
	const url = "postgres://me:secret@127.0.0.1:1,127.0.0.1:2/accounts?sslmode=disable"
	s := open(t, options(t, url))
	if err := s.Check(t.Context()); err == nil || err.Error() !=
		"the server cannot be reached: 127.0.0.1:1: connection refused; 127.0.0.1:2: connection refused" {
		t.Errorf("Check = %v", err)
	}
}

// With a long store.postgres.acquire_timeout a call tries a server that refuses connections hundreds of times.
func TestPauseHasABoundAfterAnyNumberOfFailures(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for failures := range 1000 {
		if pgstore.PauseForTest(ended, failures+1) {
			t.Errorf("pause %d allows an attempt after the end of its context", failures+1)
		}
	}
}

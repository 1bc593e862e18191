package boltstore_test

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
)

// endingAt is n accounts to seed, and calls end before it gives the one of this number.
func endingAt(n, at int, end func()) iter.Seq[store.Account] {
	return func(yield func(store.Account) bool) {
		i := 0
		for seed := range store.Fakes(n) {
			if i == at {
				end()
			}
			if i++; !yield(seed) {
				return
			}
		}
	}
}

const seedPiece = store.MaxMany

func init() {
	childProcesses["seed"] = func(args []string) {
		n, _ := strconv.Atoi(args[1])
		at, _ := strconv.Atoi(args[2])
		s, err := boltstore.Open(context.Background(), boltstore.Options{Path: args[0]})
		if err == nil {
			_, err = s.Seed(context.Background(), endingAt(n, at, func() { syscall.Kill(os.Getpid(), syscall.SIGKILL) }))
		}
		os.Stderr.WriteString(errors.Join(err, errors.New("it was not killed")).Error())
	}
}

func TestKilledSeedingIsFinishedByTheNextStart(t *testing.T) {
	t.Parallel()
	const n = 2*seedPiece + 100
	path := filepath.Join(t.TempDir(), "accounts.db")
	for _, at := range []int{0, seedPiece / 2, seedPiece + 1, 2*seedPiece + 50} {
		cmd := child("seed", path, strconv.Itoa(n), strconv.Itoa(at))
		cmd.Stderr = os.Stderr
		if cmd.Run(); cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("it ended with %v, want it killed", cmd.ProcessState)
		}
	}
	s := openAt(t, path)
	if got := len(all(t, s)); got != 2*seedPiece {
		t.Errorf("%d accounts before the last start, want %d", got, 2*seedPiece)
	}
	for _, want := range []int{100, 0} {
		if got, err := s.Seed(t.Context(), store.Fakes(n)); got != want || err != nil {
			t.Errorf("Seed = %d, %v, want %d", got, err, want)
		}
		if accounts := all(t, s); len(accounts) != n {
			t.Errorf("%d accounts, want %d", len(accounts), n)
		}
	}
	closesIntact(t, s, path)
}

func TestSeedingThatGoesOnLeavesOtherAccountsAlone(t *testing.T) {
	t.Parallel()
	own := []store.Account{{ID: "10000", Draft: store.Draft{Name: "own"}}}
	for _, row := range []struct{ n, at, want int }{{100, 50, 0}, {seedPiece + 2, seedPiece + 1, 2}} {
		s := openAt(t, filepath.Join(t.TempDir(), "accounts.db"))
		ctx, cancel := context.WithCancel(t.Context())
		_, err := s.Seed(ctx, endingAt(row.n, row.at, cancel))
		wantErr(t, err, context.Canceled)
		must(t, errOf(s.Import(t.Context(), own)))
		if got, err := s.Seed(t.Context(), store.Fakes(row.n)); got != row.want || err != nil {
			t.Errorf("Seed of %d = %d, %v, want %d", row.n, got, err, row.want)
		}
		if acc, err := s.Get(t.Context(), "10000"); acc.Name != "own" || err != nil {
			t.Errorf("after a seeding of %d, %+v, %v", row.n, acc, err)
		}
	}
}

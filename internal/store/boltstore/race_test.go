package boltstore_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
)

// access is a Put of the next version over this one, or with 0 a Get; seen is
// the version it returned, 0 for ErrVersion.
type access struct{ over, seen int64 }

// register is one account, of which only the version counts.
func register(version int64) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return version },
		Step: func(state, in, out any) (bool, any) {
			now, over, seen := state.(int64), in.(access).over, out.(access).seen
			switch {
			case over == 0:
				return seen == now, now
			case seen == 0:
				return over != now, now
			default:
				return over == now && seen == now+1, seen
			}
		},
	}
}

// TestConditionalWritesAreLinearizable lets 64 writers race for each version of one account. All pause after a number
// of versions: the history between two pauses is judged by itself, for at a pause the version is known.
func TestConditionalWritesAreLinearizable(t *testing.T) {
	t.Parallel()
	const writers, pause = 64, 50
	updates := 100
	if long() {
		updates = 10_000
	}
	s, _ := seeded(t, 1)
	const id = store.ID("10000")
	winners := make(map[int64]int)
	operations := 0
	for start := int64(1); start <= int64(updates); start += pause {
		history := race(t, s, id, writers, start+pause)
		operations += len(history)
		for _, op := range history {
			if seen := op.Output.(access).seen; op.Input.(access).over != 0 && seen != 0 {
				winners[seen]++
			}
		}
		tighten(history)
		if result := porcupine.CheckOperationsTimeout(register(start), history, time.Minute); result != porcupine.Ok {
			t.Fatalf("from version %d: the history of %d operations is judged %s", start, len(history), result)
		}
		if acc, err := s.Get(t.Context(), id); err != nil || acc.Version != start+pause {
			t.Fatalf("version %d, %v; want %d", acc.Version, err, start+pause)
		}
	}
	for v := int64(2); v <= int64(updates)+1; v++ {
		if winners[v] != 1 {
			t.Errorf("version %d has %d winners", v, winners[v])
		}
	}
	t.Logf("%d writers, %d updates, %d operations", writers, len(winners), operations)
}

// tighten spares porcupine a search that takes for ever: it moves the call of each write to after the last call of a
// Get that still saw what it replaced. In every order that explains the history that Get comes first, so that no such
// order is lost, and none is won.
func tighten(history []porcupine.Operation) {
	lastSight := make(map[int64]int64) // of a version, twice the time
	for i := range history {
		op := &history[i]
		op.Call, op.Return = 2*op.Call, 2*op.Return
		if op.Input.(access).over == 0 {
			seen := op.Output.(access).seen
			lastSight[seen] = max(lastSight[seen], op.Call)
		}
	}
	for i := range history {
		op := &history[i]
		if over := op.Input.(access).over; over != 0 && op.Output.(access).seen != 0 && lastSight[over] >= op.Call {
			op.Call = min(lastSight[over]+1, op.Return) // a Get after its end is left for the judge
		}
	}
}

// race lets writers go on until the account has this version.
func race(t *testing.T, s *boltstore.Store, id store.ID, writers int, until int64) (history []porcupine.Operation) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	begin := time.Now()
	for w := range writers {
		wg.Go(func() {
			var mine []porcupine.Operation
			done := func(call time.Duration, in, out access) {
				mine = append(mine, porcupine.Operation{ClientId: w, Input: in, Call: int64(call), Output: out, Return: int64(time.Since(begin))})
			}
			for {
				call := time.Since(begin)
				acc, err := s.Get(t.Context(), id)
				if err != nil {
					t.Errorf("Get: %v", err)
					break
				}
				done(call, access{}, access{seen: acc.Version})
				if acc.Version >= until {
					break
				}
				call = time.Since(begin)
				put, err := s.Put(t.Context(), id, store.Draft{Name: fmt.Sprint("writer ", w, " over ", acc.Version)}, store.Preconditions{Revisions: []store.Revision{acc.Revision()}})
				if err != nil && !errors.Is(err, store.ErrVersion) {
					t.Errorf("Put: %v", err)
					break
				}
				done(call, access{over: acc.Version}, access{seen: put.Account.Version})
			}
			mu.Lock()
			defer mu.Unlock()
			history = append(history, mine...)
		})
	}
	wg.Wait()
	return history
}

// Without this one, the test above could be unable to fail.
func TestTwoWinnersOfAVersionAreSeen(t *testing.T) {
	history := []porcupine.Operation{
		{ClientId: 0, Input: access{over: 1}, Call: 0, Output: access{seen: 2}, Return: 10},
		{ClientId: 1, Input: access{over: 1}, Call: 1, Output: access{seen: 2}, Return: 9},
	}
	if porcupine.CheckOperations(register(1), history) {
		t.Errorf("two winners are taken for a good history")
	}
}

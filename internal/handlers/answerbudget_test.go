package handlers

import (
	"fmt"
	"testing"
	"time"

	"accountservice/internal/store"
)

func TestAnswersOfPatchesAreFreeAgainAfterADay(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	b := newAnswerBudget(func() time.Time { return at })
	b.add("a", callersAnswers-1)
	if b.full("a") {
		t.Error("full below its bound")
	}
	b.add("a", 1)
	if !b.full("a") || b.full("b") {
		t.Errorf("full: a %v, b %v; want true, false", b.full("a"), b.full("b"))
	}
	at = at.Add(store.IdempotencyRetention - time.Second)
	if !b.full("a") {
		t.Error("free while the answers are remembered")
	}
	at = at.Add(time.Hour + time.Second)
	if b.full("a") {
		t.Error("full an hour after the answers were forgotten")
	}
	b.add("a", 1)
	at = at.Add(10_000 * time.Hour)
	if own, _ := b.used("a"); own.bytes != (daySum{}).bytes {
		t.Errorf("after a year: %v", own.bytes)
	}
}

// Requests that are under way when the sum of their caller is full are still counted.
func TestAnswersAboveTheBoundOfACallerCountForAllInTheirHour(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	b := newAnswerBudget(func() time.Time { return at })
	b.add("a", callersAnswers)
	at = at.Add(10 * time.Hour)
	b.add("a", allAnswers)
	at = at.Add(store.IdempotencyRetention - time.Second)
	if !b.full("b") {
		t.Error("free while the answers are remembered")
	}
}

func TestAnswersOfPatchesAreBoundedInAllAndByFewCallers(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	b := newAnswerBudget(func() time.Time { return at })
	for n := range 2 * maxCallers {
		b.add(fmt.Sprint(n), allAnswers/(4*maxCallers))
	}
	if len(b.callers) > maxCallers+1 || b.full("new") {
		t.Errorf("%d callers, full %v", len(b.callers), b.full("new"))
	}
	for n := range 4 {
		b.add(fmt.Sprint(n), allAnswers/4)
	}
	if !b.full("5") {
		t.Error("not full though all have too much")
	}
	at = at.Add(25 * time.Hour)
	if b.full("late"); len(b.callers) != 1 {
		t.Errorf("%d callers are kept a day later, want 1", len(b.callers))
	}
}

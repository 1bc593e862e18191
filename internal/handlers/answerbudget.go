package handlers

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"accountservice/internal/store"
)

const (
	// freeAnswer is how many bytes of a remembered answer are not counted: an account with a few labels.
	freeAnswer = 4 << 10
	// callersAnswers and allAnswers bound the bytes counted within store.IdempotencyRetention, for one caller and for
	// all. Requests under way can exceed them.
	callersAnswers = 16 << 20
	allAnswers     = 64 << 20
	// maxCallers is how many callers have a sum of their own. The others share one.
	maxCallers = 1000
)

var errAnswers = errors.New("too much would be remembered under idempotency keys")

// answerBudget bounds what keyed patches make the store remember: a patch of some bytes can have an answer of 100 KB.
// The answer to a create is about as long as its request, and is not counted. The sums are lost at a restart.
type answerBudget struct {
	now   func() time.Time // has a monotonic clock
	begun time.Time

	mu      sync.Mutex
	all     daySum
	callers map[string]*daySum
}

func newAnswerBudget(now func() time.Time) *answerBudget {
	return &answerBudget{now: now, begun: now(), callers: make(map[string]*daySum)}
}

// daySum is a sum over the last 24 to 25 hours.
type daySum struct {
	hour  int64 // of the newest bytes, since the start
	bytes [int(store.IdempotencyRetention/time.Hour) + 1]int64
}

func (h *daySum) sum(hour int64) (sum int64) {
	for ; h.hour < hour; h.hour++ {
		h.bytes[(h.hour+1)%int64(len(h.bytes))] = 0
	}
	for _, n := range h.bytes {
		sum += n
	}
	return sum
}

// used returns the sum of a caller, and whether it or that of all is used up. If there are too many callers, it drops
// those whose sum is 0; if that is not enough, a new caller shares the sum of the name "".
func (b *answerBudget) used(caller string) (own *daySum, full bool) {
	hour := int64(b.now().Sub(b.begun) / time.Hour)
	own, known := b.callers[caller]
	if !known && len(b.callers) >= maxCallers {
		for name, other := range b.callers {
			if other.sum(hour) == 0 {
				delete(b.callers, name)
			}
		}
		if len(b.callers) >= maxCallers {
			caller = ""
			own, known = b.callers[caller]
		}
	}
	if !known {
		own = &daySum{hour: hour}
		b.callers[caller] = own
	}
	mine, all := own.sum(hour), b.all.sum(hour) // both: what is added is of this hour
	return own, mine >= callersAnswers || all >= allAnswers
}

func (b *answerBudget) full(caller string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, full := b.used(caller)
	return full
}

func (b *answerBudget) add(caller string, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	own, _ := b.used(caller)
	for _, sum := range []*daySum{own, &b.all} {
		sum.bytes[sum.hour%int64(len(sum.bytes))] += bytes
	}
}

// limit applies the budget to an update whose answer is remembered. The update must call limited instead of change: it
// refuses a long answer when the budget is used up. After the update has succeeded, the caller must call spend. A
// replayed key is not counted, because its update does not call change.
func (b *answerBudget) limit(once *store.Idempotency, change changer) (limited changer, spend func()) {
	caller, _, _ := strings.Cut(once.Key, ":")
	var kept atomic.Int64 // the store may call Answer more than once, and after its caller has gone
	answer := once.Answer
	once.Answer = func(w store.Written) []byte {
		text := answer(w)
		kept.Store(int64(len(text)))
		return text
	}
	limited = func(acc store.Account) (store.Draft, error) {
		draft, err := change(acc)
		if acc.Draft = draft; err == nil && b.full(caller) && len(answer(store.Written{Account: acc})) > freeAnswer {
			err = errAnswers
		}
		return draft, err
	}
	return limited, func() {
		if counted := kept.Load() - freeAnswer; counted > 0 {
			b.add(caller, counted)
		}
	}
}

type changer = func(store.Account) (store.Draft, error)

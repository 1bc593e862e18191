//go:build linux

package ha

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"accountservice/tests/harness"
)

// operation is a read of one account's name, or a change of it under If-Match: only if it is over.
type operation struct{ over, name string }

// outcome is the name that a read saw, or whether a change was made.
type outcome struct {
	seen string
	made answer
}

// register is one account whose name is read and changed by compare and swap. A change of unknown outcome may have been
// made at any time after its call, which its operation's return allows.
var register = porcupine.Model{
	Init: func() any { return "first" },
	Step: func(state, in, out any) (bool, any) {
		now, op, result := state.(string), in.(operation), out.(outcome)
		switch {
		case op.name == "":
			return result.seen == now, now
		case result.made == acknowledged:
			return op.over == now, op.name
		case result.made == refused:
			return op.over != now, now
		}
		if op.over == now {
			return true, op.name
		}
		return true, now
	},
}

// racers read and change one account through HAProxy, and keep the history.
type racers struct {
	url     string
	begin   time.Time
	mu      sync.Mutex
	history []porcupine.Operation
}

const raced = "/accounts/raced"

func newRacers(t *testing.T, url string) *racers {
	t.Helper()
	c := caller{url: url}
	if r := c.do(http.MethodPut, raced, named("first"), "If-None-Match", "*"); r.told() != acknowledged {
		t.Fatalf("%d %s", r.status, r.body)
	}
	return &racers{url: url, begin: time.Now()}
}

// run lets four clients race until the returned function is called. run names them. A last read sees the change that was
// the cause of the last refusals: the client that asked for it may never have been answered.
func (r *racers) run(t *testing.T, run string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			c := caller{url: r.url, client: http.Client{Timeout: clientTimeout, Transport: &http.Transport{}}}
			defer c.client.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				if name, etag, seen := r.read(&c, w); seen {
					r.change(&c, w, operation{name, fmt.Sprintf("%s-%d-%d", run, w, n)}, etag)
				}
				pause(ctx, 50*time.Millisecond)
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
		c := caller{url: r.url}
		if !harness.Until(time.Minute, func() bool { _, _, seen := r.read(&c, 0); return seen }) {
			t.Error("the raced account can't be read at the end of a round")
		}
	}
}

// read keeps a read that was answered: one that was not says nothing.
func (r *racers) read(c *caller, client int) (name, etag string, seen bool) {
	call := time.Since(r.begin)
	answer := c.do(http.MethodGet, raced, "")
	var account struct{ Name string }
	if answer.status != http.StatusOK || json.Unmarshal([]byte(answer.body), &account) != nil {
		return "", "", false
	}
	r.keep(client, call, operation{}, outcome{seen: account.Name})
	return account.Name, answer.etag, true
}

func (r *racers) change(c *caller, client int, op operation, etag string) {
	call := time.Since(r.begin)
	answer := c.do(http.MethodPut, raced, named(op.name), "If-Match", etag)
	made := answer.told()
	if made == refused && answer.status != http.StatusPreconditionFailed {
		return // 503: nothing was changed, and nothing was learned
	}
	r.keep(client, call, op, outcome{made: made})
}

func (r *racers) keep(client int, call time.Duration, op operation, out outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, porcupine.Operation{ClientId: client, Input: op, Call: int64(call), Output: out,
		Return: int64(time.Since(r.begin))})
}

// want fails the test unless there is one order of all operations that explains what each client saw.
func (r *racers) want(t *testing.T) {
	t.Helper()
	history := settle(r.history)
	result, info := porcupine.CheckOperationsVerbose(register, history, time.Minute)
	t.Logf("%d operations on one account over three replicas: linearizable: %s", len(history), result)
	if result != porcupine.Ok {
		t.Errorf("no order explains these operations: %s", unexplained(history, info))
	}
}

// unexplained are the last operations of the longest order that porcupine found, and the first ones that it lacks.
func unexplained(history []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []int
	for _, order := range info.PartialLinearizations()[0] {
		if len(order) > len(longest) {
			longest = order
		}
	}
	in := map[int]bool{}
	var text strings.Builder
	line := func(what string, op porcupine.Operation) {
		fmt.Fprintf(&text, "\n%s client %d, %.3f to %.3f s: %+v %+v", what, op.ClientId, time.Duration(op.Call).Seconds(),
			time.Duration(op.Return).Seconds(), op.Input, op.Output)
	}
	for i, at := range longest {
		if in[at] = true; i >= len(longest)-12 {
			line("explained:", history[at])
		}
	}
	var left []porcupine.Operation
	for i, op := range history {
		if !in[i] {
			left = append(left, op)
		}
	}
	slices.SortFunc(left, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	for _, op := range left[:min(len(left), 12)] {
		line("not explained:", op)
	}
	return text.String()
}

// settle gives a change of unknown outcome the end that it can have at the latest: the first end of an operation that
// saw it. One that none saw has no effect that could be told, and is left out. Clients do not wait for such a change,
// so it counts as one of a client of its own.
func settle(history []porcupine.Operation) (settled []porcupine.Operation) {
	firstSight := map[string]int64{}
	for _, op := range history {
		for _, name := range []string{op.Output.(outcome).seen, op.Input.(operation).over} {
			if end, is := firstSight[name]; !is || op.Return < end {
				firstSight[name] = op.Return
			}
		}
	}
	for i, op := range history {
		if in := op.Input.(operation); in.name != "" && op.Output.(outcome).made == unknown {
			end, seen := firstSight[in.name]
			if !seen {
				continue
			}
			op.Return, op.ClientId = end, 1000+i
			op.Output = outcome{made: acknowledged}
		}
		settled = append(settled, op)
	}
	return settled
}

// Without these, the judgement above could be unable to fail.
func TestHistoriesAreJudged(t *testing.T) {
	at := func(client int, call, end int64, in operation, out outcome) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Call: call, Return: end, Input: in, Output: out}
	}
	read := func(client int, call, end int64, seen string) porcupine.Operation {
		return at(client, call, end, operation{}, outcome{seen: seen})
	}
	for name, test := range map[string]struct {
		history []porcupine.Operation
		good    bool
	}{
		"stale read": {[]porcupine.Operation{
			at(0, 0, 1, operation{"first", "a"}, outcome{made: acknowledged}), read(1, 2, 3, "first")}, false},
		"lost change": {[]porcupine.Operation{
			at(0, 0, 1, operation{"first", "a"}, outcome{made: acknowledged}),
			at(1, 2, 3, operation{"first", "b"}, outcome{made: acknowledged})}, false},
		"seen before it was called": {[]porcupine.Operation{
			read(1, 0, 1, "a"), at(0, 2, 3, operation{"first", "a"}, outcome{})}, false},
		"unknown and made late": {[]porcupine.Operation{
			at(0, 0, 1, operation{"first", "a"}, outcome{}), read(1, 2, 3, "first"), read(1, 4, 5, "a")}, true},
		"unknown and not made": {[]porcupine.Operation{
			at(0, 0, 1, operation{"first", "a"}, outcome{}), at(1, 2, 3, operation{"first", "b"}, outcome{made: acknowledged}),
			read(1, 4, 5, "b")}, true},
		"refused for a change that a read saw later": {[]porcupine.Operation{
			at(0, 0, 1, operation{"first", "a"}, outcome{}), at(1, 2, 3, operation{"first", "b"}, outcome{made: refused}),
			read(1, 4, 5, "a")}, true},
		"refused for no reason": {[]porcupine.Operation{
			at(0, 0, 1, operation{"first", "a"}, outcome{made: refused}), read(1, 2, 3, "first")}, false},
	} {
		if got := porcupine.CheckOperations(register, settle(test.history)); got != test.good {
			t.Errorf("%s: judged %t, want %t", name, got, test.good)
		}
	}
}

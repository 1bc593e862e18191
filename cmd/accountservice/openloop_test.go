package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"accountservice/tests/harness"
)

// load is one request that arrives again and again at fixed times, whatever became of those before it (open loop).
type load struct {
	Addr, Request string
	Rate          float64       // arrivals a second
	Skip, Span    time.Duration // what arrives within Skip is not counted
	Clients       int           // connections at most: where all wait for an answer, an arrival waits for one of them
}

// tally is what became of a load. Times run from the arrival, also while it waited for a connection.
type tally struct {
	Took    []time.Duration // of the answers 2xx
	Refused []time.Duration // of those 429 and 503 that have a Retry-After
	Bad     map[string]int  // all others
}

func (t *tally) add(other tally) {
	t.Took, t.Refused = append(t.Took, other.Took...), append(t.Refused, other.Refused...)
	for what, n := range other.Bad {
		t.Bad[what] += n
	}
}

// quantile is that of sorted times, or 0 of none.
func quantile(took []time.Duration, q float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	return took[int(float64(len(took)-1)*q)]
}

func (t tally) String() string {
	text := fmt.Sprintf("%d served, p50 %s, p99 %s", len(t.Took), quantile(t.Took, .5), quantile(t.Took, .99))
	if len(t.Refused) > 0 {
		text += fmt.Sprintf("; %d refused, p50 %s, p99 %s", len(t.Refused), quantile(t.Refused, .5), quantile(t.Refused, .99))
	}
	if len(t.Bad) > 0 {
		text += fmt.Sprintf("; others: %v", t.Bad)
	}
	return text
}

// make makes the load.
func (l load) make() tally {
	all := tally{Bad: make(map[string]int)}
	var mu sync.Mutex
	var clients sync.WaitGroup
	begin, next := time.Now().Add(10*time.Millisecond), 0
	arrival := func() (at time.Time, is bool) {
		mu.Lock()
		defer mu.Unlock()
		if l.Rate == 0 {
			return time.Now(), time.Since(begin) < l.Span
		}
		since := time.Duration(float64(next) / l.Rate * float64(time.Second))
		next++
		return begin.Add(since), since < l.Span
	}
	for range l.Clients {
		clients.Go(func() {
			own, c := tally{Bad: make(map[string]int)}, harness.Asker{Addr: l.Addr}
			defer c.Close()
			for at, is := arrival(); is; at, is = arrival() {
				time.Sleep(time.Until(at))
				status, after, err := c.Ask(l.Request)
				took := time.Since(at)
				switch {
				case at.Sub(begin) < l.Skip:
				case err != nil:
					if op, is := errors.AsType[*net.OpError](err); is {
						err = op.Err // without the addresses
					}
					own.Bad[err.Error()]++
				case status/100 == 2:
					own.Took = append(own.Took, took)
				case (status == 429 || status == 503) && after:
					own.Refused = append(own.Refused, took)
				default:
					own.Bad[strconv.Itoa(status)]++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all.add(own)
		})
	}
	clients.Wait()
	slices.Sort(all.Took)
	slices.Sort(all.Refused)
	return all
}

// together makes loads beside each other. make overload-test has this process on the second CPU.
func together(loads map[string]load) map[string]tally {
	tallies := make(map[string]tally)
	var mu sync.Mutex
	var all sync.WaitGroup
	for name, l := range loads {
		all.Go(func() {
			t := l.make()
			mu.Lock()
			defer mu.Unlock()
			tallies[name] = t
		})
	}
	all.Wait()
	return tallies
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// largeCreate makes an account of about 50 kB, which costs some work.
func largeCreate() string {
	body := `{"name":"x",` + largeLabels() + "}"
	return fmt.Sprintf("POST /accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// peakMemory watches the memory of a process but for its mapped files, until the result is called, which returns the most.
func peakMemory(pid int) func() int64 {
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var peak int64
		for {
			peak = max(peak, harness.Memory(pid, "RssAnon"))
			select {
			case <-tick.C:
			case <-stop:
				most <- peak
				return
			}
		}
	}()
	return func() int64 { close(stop); return <-most }
}

// Ten times as many requests arrive as are served, whatever became of those before. The service has one CPU and the
// load another, so that they do not share one. Reads of one account are not here: a refusal would cost as much as an
// answer, so they have no places.
func TestTenTimesTheCapacityIsServedSoonOrRefused(t *testing.T) {
	if os.Getenv("OVERLOAD_TEST") != "1" {
		t.Skip("OVERLOAD_TEST=1 compares times, on a machine that does nothing else")
	}
	const warm, span, most = 5 * time.Second, 12 * time.Second, 256 << 20
	const soon = 100 * time.Millisecond // is how long refusals may take; and a turn of the CPU
	for name, c := range map[string]struct {
		request string
		places  int           // that such requests have: one CPU gives lists one, and bodies of 50 kB one
		wait    time.Duration // for a place, at most
	}{
		"costly lists": {matchNoone, 1, 3 * time.Second}, "large creates": {largeCreate(), 1, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("taskset", "-c", "0", binary())
			p := harness.Start(t, cmd, newPath(t), "ACCOUNTSERVICE_STORE_SEED=20000", "GOMEMLIMIT=230MiB")
			p.Await(t, "/health?strict", 200)
			addr := fmt.Sprint("127.0.0.1:", p.Port)
			measure := func(what string, l load) tally {
				t.Helper()
				l.Addr, l.Request = addr, c.request
				before := harness.CPU(p.Cmd.Process.Pid)
				answers := together(map[string]load{"load": l, "health": {Addr: addr, Request: crowds["kept alive"],
					Rate: 50, Skip: l.Skip, Span: l.Span, Clients: 64}})
				used := harness.CPU(p.Cmd.Process.Pid) - before
				t.Logf("%s: %s; /health: %s; CPU %s", what, answers["load"], answers["health"], used)
				if h := answers["health"]; len(h.Bad)+len(h.Refused) > 0 || quantile(h.Took, .99) > 50*time.Millisecond {
					t.Errorf("%s: /health is late: %s", what, h)
				}
				if len(answers["load"].Bad) > 0 {
					t.Errorf("%s: %v", what, answers["load"].Bad)
				}
				return answers["load"]
			}
			peak := peakMemory(p.Cmd.Process.Pid)
			capacity := float64(len(measure("at capacity", load{Span: 3 * time.Second, Clients: 4 * c.places}).Took)) / 3
			alone := measure("unloaded", load{Rate: capacity / 10, Span: span, Clients: 16})
			clients := 2*(c.places+int(capacity*c.wait.Seconds())) + 64 // more than wait and are served
			over := measure("ten times", load{Rate: 10 * capacity, Skip: warm, Span: span, Clients: clients})
			memory := peak()
			t.Logf("capacity %.0f a second, at most %d MiB", capacity, memory>>20)
			// with all places taken, a request takes as long as so many do
			bound := 2 * max(quantile(alone.Took, .99), time.Duration(float64(c.places)/capacity*float64(time.Second)))
			if got := quantile(over.Took, .99); got > bound || len(over.Took) == 0 {
				t.Errorf("99 %% of %d are served within %s, want %s", len(over.Took), got, bound)
			}
			if got := quantile(over.Refused, .99); got > soon+bound || len(over.Refused) == 0 {
				t.Errorf("99 %% of %d are refused within %s, want %s", len(over.Refused), got, soon+bound)
			}
			if memory > most {
				t.Errorf("the service had %d MiB, want %d at most", memory>>20, most>>20)
			}
			p.Stop(t, 0)
		})
	}
}

//go:build linux

package dependencies

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// sides are those that are compared.
var sides = []string{"accountservice", "health-go"}

const (
	healthyRuns = 20
	illRuns     = 5
	// what a check of health-go leaves for a while, such as the 5 s of its clients' own deadlines, has ended by then
	lateness = 8 * time.Second
)

// finding is what a check did about a fault.
type finding struct {
	says    string        // the error of its first run, "" if it passed
	longest time.Duration // run
	total   time.Duration // of all runs
	left    held          // when the last run had ended
	later   held          // after lateness
	opened  int32         // connections in all, where they are counted
	back    time.Duration // from the start of a server that was gone to the first run that passed
}

// findings are those of all checks, by "fault/side/check".
type findings struct {
	sync.Mutex
	of map[string]*finding
}

func (f *findings) note(fault, side, check string, found *finding) {
	f.Lock()
	defer f.Unlock()
	f.of[fault+"/"+side+"/"+check] = found
}

// The checks of this service and those that health-go brings along are asked at the same time about the same faults.
// With -update the table is written into docs/health-go.md.
func TestSideBySideWithHealthGo(t *testing.T) {
	needServers(t)
	if os.Getenv("COMPARE_CHECKS") == "" {
		t.Skip("takes three minutes: COMPARE_CHECKS=1 asks for it (make compare-checks)")
	}
	buildModule(t, "compare", ".", filepath.Join(built, "compare"))
	all := &findings{of: map[string]*finding{}}
	t.Run("check", func(t *testing.T) {
		for _, k := range comparedKinds {
			t.Run(k.check, func(t *testing.T) {
				t.Parallel()
				p := k.make(t)
				p.start()
				for _, f := range misfortunes {
					t.Run(f.name, func(t *testing.T) { f.befall(t, k, p, all) })
				}
			})
		}
	})
	t.Log(all.list())
	table := all.table()
	t.Log("\n" + table)
	if *harness.Update && !t.Failed() {
		writeTable(t, table)
	}
}

// befall has both sides ask a server that has the fault, and judges this service's.
func (f misfortune) befall(t *testing.T, k compared, p server, all *findings) {
	a := f.ask(t, k, p)
	if a.ours == "" {
		return
	}
	check := k.check
	if strings.HasPrefix(a.ours, "grpcs:") {
		check = "grpcs"
	}
	askers := []*asker{newAsker(t, "", a.ours), newAsker(t, check, a.theirs)}
	if f.begin != nil { // the fault comes to checks that passed
		each(2, func(i int) { askers[i].passes() })
		f.begin(p)
	}
	found := []*finding{{}, {}}
	each(2, func(i int) { found[i].ask(askers[i], f.runs()) })
	if f.end != nil {
		began := time.Now()
		f.end(p)
		each(2, func(i int) { askers[i].passes(); found[i].back = time.Since(began) })
	}
	for i, side := range sides {
		if a.opened != nil {
			found[i].opened = a.opened[i]()
		}
		all.note(f.name, side, k.check, found[i])
	}
	f.judge(t, found[0])
}

func (f misfortune) runs() int {
	if f.healthy {
		return healthyRuns
	}
	return illRuns
}

// judge fails if this service's check did not do what is documented of it.
func (f misfortune) judge(t *testing.T, ours *finding) {
	t.Helper()
	kept := held{}
	if f.healthy {
		kept = held{1, 3} // net/http and amqp091-go have goroutines for a kept connection
	}
	switch {
	case f.healthy && ours.says != "":
		t.Errorf("it fails: %s", ours.says)
	case !f.healthy && !strings.Contains(ours.says, ": "):
		t.Errorf("it says %q of the fault", ours.says)
	case strings.Contains(ours.says, "hunter2"):
		t.Errorf("a password is in %q", ours.says)
	case f.healthy && ours.opened > 1:
		t.Errorf("%d connections in %d runs", ours.opened, healthyRuns)
	}
	if ours.longest > ample { // the deadline, on a machine that is busy with other things
		t.Errorf("a run took %v of %v", ours.longest, timeout)
	}
	if ours.later.connections > kept.connections || ours.later.goroutines > kept.goroutines {
		t.Errorf("it holds %+v after all runs, want %+v", ours.later, kept)
	}
}

// ask makes some runs, one after the other.
func (f *finding) ask(a *asker, runs int) {
	for i := range runs {
		got := a.ask()
		f.longest, f.total = max(f.longest, got.Took), f.total+got.Took
		if i == 0 || f.says == "" {
			f.says = got.Error
		}
	}
	f.left = a.holds()
	harness.Until(lateness, func() bool {
		f.later = a.holds()
		return f.later == held{}
	})
}

// passes waits for a run that does.
func (a *asker) passes() {
	a.Helper()
	if err := harness.Eventually(time.Minute, func() error {
		if said := a.ask().Error; said != "" {
			return fmt.Errorf("%s: %s", a.cmd, said)
		}
		return nil
	}); err != nil {
		a.Error(err)
	}
}

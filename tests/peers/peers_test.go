// Package peers measures accountservice beside what it could be, or be replaced by: bare Gin, net/http alone, the
// tutorial's way, PocketBase. All run at once and are asked in turn, round after round, so that whatever else the
// machine does slows all alike: only the ratios count. It writes the table of docs/benchmarks.md.
//
// Peers are a module of their own, so that the service's go.mod has nothing of them.
package peers

import (
	"flag"
	"os"
	"runtime"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// options are the command line, behind -args.
type options struct {
	rounds    int
	lasts     time.Duration
	accounts  int
	short     bool
	only      string // groups, as a regular expression
	write     string // file
	generator string // wrk or go
	bin       string // folder of the service's binaries; "" measures nothing
}

var o options

func TestMain(m *testing.M) {
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; of each figure the median is taken")
	flag.DurationVar(&o.lasts, "lasts", 2*time.Second, "how long each peer is asked in a round")
	flag.IntVar(&o.accounts, "accounts", 1_000_000, "accounts of the large database")
	flag.BoolVar(&o.short, "short", false, "3 rounds of a second, 100,000 accounts, no PocketBase; fail far below the goals")
	flag.StringVar(&o.only, "only", ".", "groups to measure, as a regular expression")
	flag.StringVar(&o.write, "write", "", "Markdown file whose table of peers is to be written")
	flag.StringVar(&o.generator, "generator", defaultGenerator(), "of reads: wrk or go")
	flag.StringVar(&o.bin, "bin", "", "folder of the service's binaries, which are to be measured")
	flag.Parse()
	if o.short {
		o.rounds, o.lasts, o.accounts = 3, time.Second, 100_000
	}
	os.Exit(m.Run())
}

func TestPeers(t *testing.T) {
	if o.bin == "" {
		t.Skip("measures for some minutes: -args -bin=FOLDER asks for it (make bench-peers)")
	}
	runtime.GOMAXPROCS(1) // the generator; the servers have all cores
	groups, err := plan(startPeers(t), o)
	harness.Must(t, err)
	for round := range o.rounds {
		t.Logf("round %d of %d", round+1, o.rounds)
		for _, g := range groups {
			harness.Must(t, g.round(t.Context(), o.lasts))
		}
	}
	text := report(groups, o)
	t.Log("\n" + text)
	if o.write != "" {
		harness.PutBetween(t, o.write, tableBegin, tableEnd, text)
	}
	if o.short {
		harness.Must(t, judge(groups))
	}
}

// Command peers measures accountservice beside what it could be, or be replaced by: bare Gin, net/http alone, the
// tutorial's way, PocketBase. All run at once and are asked in turn, round after round, so that whatever else the
// machine does slows all alike: only the ratios count. It writes the table of docs/benchmarks.md.
//
// Peers are a module of their own, so that the service's go.mod has nothing of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"
)

// options are the command line.
type options struct {
	rounds     int
	lasts      time.Duration
	accounts   int
	pocketbase bool
	short      bool
	only       string // groups, as a regular expression
	write      string // file
	generator  string // wrk or go
	bin        string // folder of the service's binaries
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; of each figure the median is taken")
	flag.DurationVar(&o.lasts, "lasts", 2*time.Second, "how long each peer is asked in a round")
	flag.IntVar(&o.accounts, "accounts", 1_000_000, "accounts of the large database")
	flag.BoolVar(&o.short, "short", false, "3 rounds of a second, 100,000 accounts, no PocketBase; fail far below the goals")
	flag.StringVar(&o.only, "only", ".", "groups to measure, as a regular expression")
	flag.StringVar(&o.write, "write", "", "Markdown file whose table of peers is to be written")
	flag.StringVar(&o.generator, "generator", defaultGenerator(), "of reads: wrk or go")
	flag.StringVar(&o.bin, "bin", "../../bin", "folder of the service's binaries")
	flag.Parse()
	o.pocketbase = !o.short
	if o.short {
		o.rounds, o.lasts, o.accounts = 3, time.Second, 100_000
	}
	runtime.GOMAXPROCS(1) // the generator; the servers have all cores
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "accountservice-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(ctx, dir, o.pocketbase); err != nil {
		return err
	}
	p, err := startPeers(ctx, dir, o)
	defer p.stop()
	if err != nil {
		return err
	}
	groups, err := plan(p, o)
	if err != nil {
		return err
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
		for _, g := range groups {
			if err := g.round(ctx, o.lasts); err != nil {
				return err
			}
		}
	}
	text := report(groups, o)
	fmt.Print(text)
	if o.write != "" {
		if err := replaceTable(o.write, text); err != nil {
			return err
		}
	}
	if o.short {
		return judge(groups)
	}
	return nil
}

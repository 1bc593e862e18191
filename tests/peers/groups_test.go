package peers

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

const (
	readers = 32    // connections of a load of reads
	listers = 8     // of a load of lists: so many the service makes at once
	firstID = 10000 // of a seeded database, and of the tutorial's
)

// group is a comparison: its rows are measured in turn, and each has a ratio to the first.
type group struct {
	title string
	times bool // less is better: figures are times
	rows  []*row
}

// row is one line of the table.
type row struct {
	peer    string
	goal    float64 // of its ratio; 0 is none
	measure func(ctx context.Context, lasts time.Duration) (result, error)
	rounds  []result
}

func (g *group) round(ctx context.Context, lasts time.Duration) error {
	for _, r := range g.rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		figures, err := r.measure(ctx, lasts)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", g.title, r.peer, err)
		}
		r.rounds = append(r.rounds, figures)
	}
	return nil
}

// plan returns what is to be measured.
func plan(p *peers, o options) ([]*group, error) {
	groups := []*group{hotGroup(p, o), randomGroup(p, o), healthGroup(p, o), pageGroup(p)}
	writers := []int{1, 64, 256, 1000}
	if o.short {
		writers = []int{64}
	}
	for _, n := range writers {
		groups = append(groups, createGroup(p, n))
	}
	groups = append(groups, probeGroup(p), startGroup(p))
	wanted, err := regexp.Compile(o.only)
	if err != nil {
		return nil, err
	}
	var chosen []*group
	for _, g := range groups {
		if wanted.MatchString(g.title) {
			chosen = append(chosen, g)
		}
	}
	return chosen, nil
}

// reads is a row of GETs of one path.
func reads(o options, peer string, of **process, path string) *row {
	return &row{peer: peer, measure: func(ctx context.Context, lasts time.Duration) (result, error) {
		return (*of).measured(func() (result, error) { return o.read(ctx, (*of).URL, path, 0, lasts) })
	}}
}

// randomReads is a row of GETs of any of n accounts. The page cache has all of a database: what its disk can do is not
// measured, and other work on the machine may have taken pages away.
func randomReads(o options, peer string, of **process, n int, database string) *row {
	return &row{peer: peer, measure: func(ctx context.Context, lasts time.Duration) (result, error) {
		if err := readAll(database); err != nil {
			return result{}, err
		}
		return (*of).measured(func() (result, error) { return o.read(ctx, (*of).URL, "/accounts/", n, lasts) })
	}}
}

func readAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

func hotGroup(p *peers, o options) *group {
	const path = "/accounts/10000"
	g := &group{title: "GET of one account", rows: []*row{
		reads(o, "bare Gin, a constant", &p.gin, path),
		reads(o, "net/http alone, a constant", &p.nethttp, path),
		reads(o, "accountservice", &p.small, path),
		reads(o, "the tutorial's way", &p.tutorial, path),
	}}
	g.rows[2].goal = 0.75
	if p.pocketbase != nil {
		g.rows = append(g.rows, reads(o, "PocketBase 0.36.0", &p.pocketbase, "/api/collections/accounts/records/000000000010000"))
	}
	return g
}

func randomGroup(p *peers, o options) *group {
	g := &group{title: "GET of any account", rows: []*row{
		randomReads(o, "bare Gin, a constant", &p.gin, p.accounts, os.DevNull),
		randomReads(o, fmt.Sprintf("accountservice, of %d", p.accounts), &p.large, p.accounts, filepath.Join(p.dir, "large.db")),
		randomReads(o, "the tutorial's way, of 100", &p.tutorial, 100, filepath.Join(p.dir, "tutorial.db")),
	}}
	g.rows[1].goal = 0.5
	return g
}

func healthGroup(p *peers, o options) *group {
	g := &group{title: "GET /health", rows: []*row{
		reads(o, "bare Gin, a constant", &p.gin, "/health"),
		reads(o, "bare Gin, a constant as long as ours", &p.gin, "/long"),
		reads(o, "accountservice, one check hung", &p.large, "/health"),
		reads(o, "the tutorial's way, which asks nothing", &p.tutorial, "/health"),
	}}
	g.rows[2].goal = 0.9
	return g
}

func pageGroup(p *peers) *group {
	g := &group{title: "page of 100 accounts"}
	for _, at := range []struct {
		name  string
		after int
	}{{"first", 0}, {"middle", p.accounts / 2}, {"last", p.accounts - 101}} {
		path := "/accounts?limit=100"
		if at.after > 0 {
			path += "&cursor=" + p.large.Cursor(p.T, sortedID(p.accounts, at.after))
		}
		g.rows = append(g.rows, &row{peer: fmt.Sprintf("accountservice, %s of %d", at.name, p.accounts),
			measure: func(_ context.Context, lasts time.Duration) (result, error) {
				return p.large.measured(func() (result, error) {
					return get(listers, p.large.URL, func(int) string { return path }).run(lasts)
				})
			}})
	}
	g.rows[1].goal, g.rows[2].goal = 0.8, 0.8
	return g
}

// sortedID returns the nth id, in the order of bytes, of a database that was seeded with so many accounts.
func sortedID(accounts, n int) string {
	var before func(prefix int) int // ids that begin with this number
	last := firstID + accounts - 1
	before = func(prefix int) (count int) {
		for low, high := prefix, prefix; low <= last; low, high = low*10, high*10+9 {
			if from, to := max(low, firstID), min(high, last); from <= to {
				count += to - from + 1
			}
		}
		return count
	}
	prefix := 0
	for {
		if prefix >= firstID && prefix <= last {
			if n == 0 {
				return fmt.Sprint(prefix)
			}
			n--
		}
		next := prefix * 10
		if prefix == 0 {
			next = 1
		}
		for before(next) <= n {
			n -= before(next)
			next++
		}
		prefix = next
	}
}

func createGroup(p *peers, writers int) *group {
	creates := func(peer string, of **process, path string) *row {
		return &row{peer: peer, measure: func(_ context.Context, lasts time.Duration) (result, error) {
			return (*of).measured(func() (result, error) { return create(writers, (*of).URL, path).run(lasts) })
		}}
	}
	title := fmt.Sprintf("creates, %d at once", writers)
	g := &group{title: title, rows: []*row{
		creates("accountservice", &p.small, "/accounts"),
		creates("the tutorial's way, one commit each", &p.tutorial, "/accounts"),
	}}
	if p.pocketbase != nil {
		g.rows = append(g.rows, creates("PocketBase 0.36.0, not synced one by one", &p.pocketbase, "/api/collections/accounts/records"))
	}
	return g
}

// repeat measures how long f takes, again and again.
func repeat(f func(context.Context) error) func(context.Context, time.Duration) (result, error) {
	return func(ctx context.Context, lasts time.Duration) (r result, err error) {
		for begin := time.Now(); time.Since(begin) < lasts; {
			begun := time.Now()
			if err := f(ctx); err != nil {
				return r, err
			}
			r.latency = append(r.latency, time.Since(begun))
		}
		slices.Sort(r.latency)
		return r, nil
	}
}

func probeGroup(p *peers) *group {
	port := p.small.URL[len("http://127.0.0.1:"):]
	runs := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			cmd := exec.CommandContext(ctx, name)
			cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
			cmd.Env = append(os.Environ(), "ACCOUNTSERVICE_HTTP_HOST=127.0.0.1", "ACCOUNTSERVICE_HTTP_PORT="+port)
			return cmd.Run()
		}
	}
	return &group{title: "wall time of a probe", times: true, rows: []*row{
		{peer: "an empty Go program", measure: repeat(runs(filepath.Join(p.dir, "empty")))},
		{peer: "healthchecker", goal: 2, measure: repeat(runs(filepath.Join(p.bin, "healthchecker")))},
	}}
}

func startGroup(p *peers) *group {
	return &group{title: "start to the first 200 of /health", times: true, rows: []*row{
		{peer: fmt.Sprintf("accountservice, %d accounts", p.accounts), measure: repeat(func(ctx context.Context) error {
			p.large.Kill(p.T)
			p.large = p.startLarge()
			return p.large.healthy(ctx, "/health")
		})},
	}}
}

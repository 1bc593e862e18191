//go:build linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/checks"
	"accountservice/internal/handlers"
	"accountservice/internal/store/boltstore"
)

// staleAfter is the published default.
const staleAfter = 15 * time.Second

// insideFault is a fault within the process, which no file and no peer can make:
// the row builds the service's own checks, store and handlers around it.
type insideFault struct {
	name string
	// run is the check named sick while it is ill. well ends when it is not any
	// more, or the row ends.
	run func(ctx, well context.Context) error
	// diesAt is what the sick prober is about to log when it dies.
	diesAt string
	within time.Duration // bound where 0
	lasts  bool          // nothing can heal it
	more   int           // goroutines that it may cost
	play   func(*testing.T, *insideRow)
}

// insideRow is a line of its table.
type insideRow struct {
	name, skipped string
	health        string
	took          time.Duration
	more          int    // goroutines
	then          string // once the fault is over
	broken        []string
}

func (r *insideRow) bad(format string, args ...any) {
	r.broken = append(r.broken, fmt.Sprintf(format, args...))
}

func (r *insideRow) line() string {
	if r.skipped != "" {
		return cells(r.name, "skipped: "+r.skipped, "", "", "")
	}
	after := "–"
	if r.took > 0 {
		after = rounded(r.took)
	}
	return cells(r.name+fails(r.broken), r.health, after, fmt.Sprint(r.more), r.then)
}

var insideFaults = []insideFault{
	{
		name: "a check panics",
		run:  func(context.Context, context.Context) error { panic("index out of range") },
	}, {
		name: "a check answers with its error 0.5 s after its deadline",
		run: func(ctx, _ context.Context) error {
			<-ctx.Done()
			<-time.After(timeout / 2)
			return errors.New("too late to be heard")
		},
		more: 1,
	}, {
		name: "a check answers with success 0.5 s after its deadline",
		run: func(ctx, _ context.Context) error {
			<-ctx.Done()
			<-time.After(timeout / 2)
			return nil
		},
		more: 1,
	}, {
		name: "a check answers with success at its deadline",
		run:  func(ctx, _ context.Context) error { <-ctx.Done(); return nil },
	}, {
		name: "a check never answers",
		run:  func(_, well context.Context) error { <-well.Done(); return nil },
		more: 1,
	}, {
		name:   "a check ends its goroutine without an answer",
		run:    func(context.Context, context.Context) error { runtime.Goexit(); return nil },
		lasts:  true, // it counts as a run that hangs
		within: bound,
	}, {
		name:   "the prober of a healthy check dies: its last result is stale after 15 s (checks.stale_after)",
		diesAt: "ok",
		within: staleAfter + 2*time.Second,
		lasts:  true,
	},
	{name: "a file outgrows its map, beside readers", play: playRemap},
}

// deadly is a log whose reader is the end of a prober: the goroutine that says
// that the check named sick turned to this status ends there.
type deadly struct {
	slog.Handler
	check, diesAt string
}

func (d deadly) Enabled(context.Context, slog.Level) bool { return true }

func (d deadly) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "check" {
			d.check = a.Value.String()
		}
	}
	return d
}

func (d deadly) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if d.check == "sick" && a.Key == "to" && a.Value.String() == d.diesAt {
			runtime.Goexit()
		}
		return true
	})
	return nil
}

// inside is the service's parts around a fault.
type inside struct {
	svc   service // only to be asked
	store *boltstore.Store
	stop  func()
}

// build opens a store and watches it, and sick beside it, with the published
// defaults.
func build(t *testing.T, path string, log *slog.Logger, sick func(context.Context) error) *inside {
	t.Helper()
	accounts, err := boltstore.Open(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second})
	must(t, err)
	check := func(name string, run func(context.Context) error) checks.Check {
		return checks.Check{Name: name, OnFailure: checks.Restart, Run: run,
			Interval: interval, Timeout: timeout, FailAfter: failAfter, PassAfter: 1, StaleAfter: staleAfter}
	}
	runner, err := checks.New(checks.Component{Name: "accountservice"}, log, check("bolt", accounts.Check), check("sick", sick))
	must(t, err)
	server := httptest.NewServer(handlers.API{Store: accounts, Health: runner, MaxBody: 1 << 20, Log: slog.New(slog.DiscardHandler)}.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); runner.Run(ctx) }()
	in := &inside{store: accounts}
	in.svc = service{url: server.URL, done: make(chan struct{})} // it lives as long as this process
	in.stop = func() {
		cancel()
		<-ended
		server.Close()
		closing, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := accounts.Close(closing); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	}
	return in
}

// ourGoroutines counts those that run or were started by the service's packages.
func ourGoroutines() (n int) {
	stacks := make([]byte, 8<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "accountservice/internal/") && !strings.Contains(stack, "accountservice/tests/faults.playInside") {
			n++
		}
	}
	return n
}

// playInside plays one row. No other one may run in this process.
func playInside(t *testing.T, f insideFault, row *insideRow) {
	if f.play != nil {
		f.play(t, row)
	} else {
		playSick(t, f, row)
	}
	if err := eventually(func() error {
		if n := ourGoroutines(); n > 0 {
			return fmt.Errorf("%d goroutines are left when all is stopped", n)
		}
		return nil
	}); err != nil {
		row.bad("%v", err)
	}
	for _, wrong := range row.broken {
		t.Error(wrong)
	}
}

// playSick makes a healthy check ill, and well again.
func playSick(t *testing.T, f insideFault, row *insideRow) {
	if f.within == 0 {
		f.within = bound
	}
	var ill atomic.Bool
	well, heal := context.WithCancel(context.Background())
	defer heal()
	in := build(t, filepath.Join(t.TempDir(), "accounts.db"), slog.New(deadly{diesAt: f.diesAt, Handler: slog.DiscardHandler}), func(ctx context.Context) error {
		if f.run != nil && ill.Load() {
			return f.run(ctx, well)
		}
		return nil
	})
	defer in.stop()
	if !in.svc.await(patience * 5) {
		t.Fatal("never healthy")
	}
	before := ourGoroutines()
	ill.Store(true)
	began := time.Now()
	var a answer
	eventually(func() error {
		if a = in.svc.ask("/health"); a.code == 200 {
			return errors.New("still healthy")
		}
		return nil
	}, f.within+bound)
	row.took = time.Since(began)
	row.health = a.String() + " " + plain(a.words("sick"), t.TempDir())
	if a.code != 503 || row.took > f.within {
		row.bad("/health = %s after %s, want 503 within %s", a, row.took.Round(100*time.Millisecond), f.within)
	}
	<-time.After(2 * interval) // long enough to lose more goroutines, if each run cost one
	row.more = max(0, ourGoroutines()-before)
	if row.more > f.more {
		row.bad("%d goroutines more than before, want at most %d", row.more, f.more)
	}
	if f.lasts {
		row.then = "stays so: a restart mends it"
		return
	}
	ill.Store(false)
	heal()
	began = time.Now()
	if !in.svc.await(bound) {
		row.bad("not healthy %s after the check was well", bound)
	}
	row.then = "200 again " + rounded(time.Since(began)) + " after the check is well"
}

// mapSize is the address space that the store reserves for its file.
const mapSize = 1 << 30

// playRemap makes writers outgrow the map of a database of almost its size, beside readers: bbolt maps the file anew
// only when no reader is left, and new readers wait for it.
func playRemap(t *testing.T, row *insideRow) {
	dir, err := os.MkdirTemp(root, "remap-")
	must(t, err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "accounts.db")
	empty, err := boltstore.Open(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second})
	must(t, err)
	must(t, empty.Close(t.Context()))
	ballast(t, path, mapSize-(512<<10))
	if info, err := os.Stat(path); err != nil || info.Size() > mapSize {
		t.Fatalf("the file is larger than its map before it begins: %v, %v", info, err)
	}

	in := build(t, path, slog.New(slog.DiscardHandler), func(context.Context) error { return nil })
	defer in.stop()
	if !in.svc.await(patience * 5) {
		t.Fatal("never healthy")
	}
	before := ourGoroutines()
	l := newClients(in.svc.url)
	for w := range 16 {
		l.again(func(n int) { l.put(fmt.Sprintf("w%02d-%d", w, n), strings.Repeat("x", 250)) })
	}
	for range 4 {
		l.again(func(int) { in.svc.ask("/accounts?limit=1000") })
	}
	health := "200"
	size := func() int64 {
		info, err := os.Stat(path)
		must(t, err)
		return info.Size()
	}
	for deadline := time.Now().Add(time.Minute); size() <= mapSize && time.Now().Before(deadline); <-time.After(100 * time.Millisecond) {
		if a := in.svc.ask("/health"); a.code != 200 && health == "200" {
			health = a.String() + " " + a.words("bolt")
			row.bad("/health = %s", health)
		}
	}
	<-time.After(time.Second) // writes go on behind it
	l.end()
	codes, slowest := l.seen()
	t.Logf("%d writes, the slowest took %s; %d bytes; %v", l.acks, slowest, size(), codes)
	switch {
	case size() <= mapSize:
		row.bad("the file never outgrew its map: %d bytes", size())
	case slowest > 3*time.Second:
		row.bad("a write waited %s", slowest.Round(100*time.Millisecond))
	}
	row.health = health + " not seen: every reader ends soon; the slowest write took " + rounded(slowest)
	row.more = max(0, ourGoroutines()-before)
	row.then = "writes go on"
}

// ballast makes a database as large as this, by values that nobody reads.
func ballast(t *testing.T, path string, size int64) {
	t.Helper()
	const piece = 16 << 20
	for n := int64(0); ; n++ {
		d := openFile(t, path)
		newest, _ := d.metas()
		left := size - int64(newest.high)*d.size
		d.f.Close()
		if left < 64<<10 {
			must(t, os.Truncate(path, int64(newest.high)*d.size)) // the map is made for what the file has, used or not
			return
		}
		edit(t, path, func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket(fmt.Append(nil, "ballast-", n)) // a page of its own, or each piece would move those before
			if err != nil {
				return err
			}
			return b.Put([]byte("ballast"), make([]byte, min(piece, left-32<<10)))
		})
	}
}

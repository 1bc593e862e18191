package boltstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
)

// The work of the process that loses power or is killed: each writer changes keys of its own, one after another, and
// notes each acknowledgement. What a writer's keys are after n acknowledgements is known, so an image can be judged.
const (
	powerWriters = 8
	powerWrites  = 60 // of each
)

func powerKey(writer, n int) store.ID { return store.ID(fmt.Sprintf("w%d-%d", writer, n%7)) }

// powerName is what a writer's nth write puts, or "" for a deletion.
func powerName(writer, n int) string {
	if n%6 == 5 {
		return ""
	}
	return fmt.Sprintf("write %d %s", n, strings.Repeat("x", (37*writer+53*n)%200))
}

// powerState is what a writer's keys hold after n writes.
func powerState(writer, n int) map[store.ID]string {
	state := make(map[store.ID]string)
	for i := 1; i <= n; i++ {
		if name := powerName(writer, i); name != "" {
			state[powerKey(writer, i)] = name
		} else {
			delete(state, powerKey(writer, i))
		}
	}
	return state
}

func init() {
	childProcesses["write"] = func(args []string) { // path, file of the acknowledgements, sync, last write, last acknowledged ones
		s, err := boltstore.Open(context.Background(), boltstore.Options{Path: args[0], OpenTimeout: 5 * time.Second})
		acks, ackErr := os.OpenFile(args[1], os.O_WRONLY|os.O_APPEND, 0)
		last, lastErr := strconv.Atoi(args[3])
		var done [powerWriters]int
		for w, n := range strings.Fields(strings.Trim(args[4], "[]")) {
			done[w], _ = strconv.Atoi(n)
		}
		if err := errors.Join(err, ackErr, lastErr); err != nil {
			panic(err)
		}
		if args[2] == "without sync" {
			s.NoSyncForTest()
		}
		var writers sync.WaitGroup
		for w := range powerWriters {
			writers.Go(func() {
				for n := done[w] + 1; n <= last; n++ {
					var err error
					if name := powerName(w, n); name != "" {
						_, err = s.Put(context.Background(), powerKey(w, n), store.Draft{Name: name}, store.Preconditions{})
					} else if err = s.Delete(context.Background(), powerKey(w, n), store.Preconditions{}); errors.Is(err, store.ErrNotFound) {
						err = nil
					}
					if err != nil {
						panic(err)
					}
					fmt.Fprintf(acks, "%d %d\n", w, n) // one system call: its place in the log is the acknowledgement's
				}
			})
		}
		writers.Wait()
	}
}

// disk is a file as it is after a loss of power: size bytes, zeros after b.
type disk struct {
	b    []byte
	size int64
}

// apply does what an operation does, or, torn, only for some of its sectors.
func (d *disk) apply(op operation, sector func() bool) {
	if op.kind == opTruncate {
		d.size = op.offset
		d.b = d.b[:min(int64(len(d.b)), d.size)]
		return
	}
	end := op.offset + int64(len(op.data))
	if end > int64(len(d.b)) {
		d.b = append(d.b, make([]byte, end-int64(len(d.b)))...)
	}
	d.size = max(d.size, end)
	const atomic = 512 // bytes that a disk writes whole or not at all
	for i := 0; i < len(op.data); i += atomic {
		if sector() {
			j := min(i+atomic, len(op.data))
			copy(d.b[op.offset+int64(i):], op.data[i:j])
		}
	}
}

func whole() bool { return true }

// powerLog is what a process did to its file, and the file before.
type powerLog struct {
	ops    []operation
	before disk
}

// lose returns the file as a loss of power after the first n operations may leave it, how many of each writer's writes
// were acknowledged by then, and how many operations hung in the air.
func (l powerLog) lose(n int, random *rand.Rand) (d disk, acks [powerWriters]int, air int) {
	durable := 0
	for _, op := range l.ops[:n] {
		switch op.kind {
		case opSync:
			durable = max(durable, op.covers)
		case opAck:
			acks[op.writer] = op.n
		}
	}
	d = disk{append([]byte(nil), l.before.b...), l.before.size}
	likely := []float64{0.1, 0.5, 0.9}[random.IntN(3)]
	for i, op := range l.ops[:n] {
		switch {
		case op.kind != opWrite && op.kind != opTruncate:
		case i < durable:
			d.apply(op, whole)
		default:
			air++
			if random.IntN(4) == 0 {
				d.apply(op, func() bool { return random.IntN(2) == 0 })
			} else if random.Float64() < likely {
				d.apply(op, whole)
			}
		}
	}
	return d, acks, air
}

// judge says what is wrong with the database that a loss of power or a kill left at path.
func judge(t *testing.T, path string, acks [powerWriters]int) error {
	t.Helper()
	if report, err := verified(t, path); err != nil || !report.Intact {
		return fmt.Errorf("verify: %v, %v", report.Findings, err)
	}
	s, err := boltstore.Open(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second, MustExist: true})
	if err != nil {
		return err
	}
	defer storetest.Close(t, s)
	all, err := s.List(t.Context(), store.Query{Limit: 10_000})
	if err := errors.Join(err, s.Check(t.Context())); err != nil {
		return err
	}
	var got [powerWriters]map[store.ID]string
	for w := range got {
		got[w] = make(map[store.ID]string)
	}
	seeds := 0
	for _, acc := range all.Accounts {
		var w, k int
		if n, _ := fmt.Sscanf(string(acc.ID), "w%d-%d", &w, &k); n == 2 {
			got[w][acc.ID] = acc.Name
		} else {
			seeds++
		}
	}
	if seeds != 100 {
		return fmt.Errorf("%d of 100 seeded accounts", seeds)
	}
	for w, acked := range acks { // the write after the last acknowledged one may be there
		if !maps.Equal(got[w], powerState(w, acked)) && !maps.Equal(got[w], powerState(w, acked+1)) {
			return fmt.Errorf("writer %d had %d acknowledged writes, and its accounts are %.200v", w, acked, got[w])
		}
	}
	return nil
}

// losePower checks this many images of power losses at random points, or fewer if enough are bad, and returns what was
// wrong with the bad ones.
func losePower(t *testing.T, sync string, images, enough int) (bad []error) {
	t.Helper()
	l := record(t, sync)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "accounts.db")
	judged, lossy := 0, 0
	for ; judged < images && len(bad) < enough; judged++ {
		n := random.IntN(len(l.ops) + 1)
		d, acks, air := l.lose(n, random)
		if air > 0 {
			lossy++
		}
		writeFile(t, path, d.b)
		must(t, os.Truncate(path, d.size))
		if err := judge(t, path, acks); err != nil {
			bad = append(bad, fmt.Errorf("after operation %d of %d: %w", n, len(l.ops), err))
		}
	}
	kinds := make(map[string]int)
	for _, op := range l.ops {
		kinds[op.kind]++
	}
	t.Logf("%s, seed %d: operations %v; %d images, %d with unsynced ones: %d bad", sync, seed, kinds, judged, lossy, len(bad))
	if lossy < judged/4 {
		t.Errorf("only %d of %d images had something to lose", lossy, judged)
	}
	return bad
}

func TestLossOfPowerLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	images := 50
	if long() {
		images = 200
	}
	for _, err := range losePower(t, "with sync", images, images) {
		t.Error(err)
	}
}

// Without this one, the test above could be unable to fail.
func TestLossOfPowerWithoutSyncIsSeen(t *testing.T) {
	t.Parallel()
	if bad := losePower(t, "without sync", 100, 1); len(bad) == 0 {
		t.Errorf("no image was bad")
	} else {
		t.Logf("for example: %v", bad[0])
	}
}

// TestKillsLoseNothingAcknowledged kills a process that writes, again and again on the same file. Each writer goes on
// with the write that was not acknowledged.
func TestKillsLoseNothingAcknowledged(t *testing.T) {
	t.Parallel()
	rounds := 8
	if long() {
		rounds = 100
	}
	path := closed(t, 100)
	var acks [powerWriters]int
	for round := range rounds {
		killed(t, path, rand.IntN(200), &acks)
		if err := judge(t, path, acks); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	total := 0
	for _, n := range acks {
		total += n
	}
	t.Logf("%d rounds, %d acknowledged writes", rounds, total)
	if total < rounds*10 {
		t.Errorf("only %d writes were acknowledged in %d rounds", total, rounds)
	}
}

// killed runs the writing process and kills it after this many acknowledgements. It adds all it heard to acks.
func killed(t *testing.T, path string, after int, acks *[powerWriters]int) {
	t.Helper()
	cmd := child("write", path, "/dev/stdout", "with sync", "1000000", fmt.Sprint(*acks))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	stop := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer stop.Stop()
	if after == 0 {
		must(t, cmd.Process.Kill())
	}
	heard := 0
	for lines := bufio.NewScanner(out); lines.Scan(); { // to its end: what it said before it died counts
		var w, n int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &w, &n); err != nil || n != acks[w]+1 {
			t.Fatalf("%q after %d: %v", lines.Text(), acks[w], err)
		}
		acks[w] = n
		if heard++; heard == after {
			must(t, cmd.Process.Kill())
		}
	}
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) ||
		exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || heard < after {
		t.Fatalf("child: %v after %d acknowledgements; want it killed after %d", err, heard, after)
	}
}

package boltstore_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/tests/harness"
)

// Kinds of operations.
const (
	opWrite    = "write"
	opTruncate = "truncate" // to offset
	opSync     = "sync"     // of all operations before covers; it stands where it was done
	opAck      = "ack"      // of a writer's nth write
)

// operation is something done to the database's file, or an acknowledgement.
type operation struct {
	kind      string
	offset    int64
	data      []byte
	covers    int
	writer, n int
}

// record runs the writing child under strace, which sees every system call in
// its order, and returns what was done to the file.
func record(t *testing.T, sync string) powerLog {
	t.Helper()
	harness.NeedStrace(t)
	path := closed(t, 100)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	m, err := boltfile.InspectFile(f)
	must(t, err)
	must(t, os.Truncate(path, m.Size())) // so that it must grow while it is watched
	before := readFile(t, path)
	dir := t.TempDir()
	trace, acks := filepath.Join(dir, "trace"), filepath.Join(dir, "acks")
	writeFile(t, acks, nil)
	writes := child("write", path, acks, sync, fmt.Sprint(powerWrites), "")
	cmd := exec.Command("strace", append([]string{"-f", "-qq", "-xx", "-y", "-s", "16777216", "-o", trace,
		"-e", "signal=none", "-e", "trace=" + strings.Join(traced, ",")}, writes.Args...)...)
	cmd.Env = writes.Env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the writing process: %v: %s", err, out)
	}
	text := readFile(t, trace)
	l := powerLog{ops: parseTrace(t, string(text), path, acks), before: disk{before, int64(len(before))}}
	checkRecord(t, l, path, sync)
	return l
}

// traced are all calls that can change a file or make its changes durable.
var traced = []string{"write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "truncate", "fallocate", "fsync", "fdatasync",
	"sync_file_range", "msync", "copy_file_range", "sendfile", "splice"}

var (
	callLine    = regexp.MustCompile(`^(\d+) +(\w+)\(\d+<([^>]*)>`)
	resumedLine = regexp.MustCompile(`^\d+ +<\.\.\. \w+ resumed>`)
	resultEnd   = regexp.MustCompile(`= \d+$`)
)

// parseTrace understands strace's lines: a call that another thread's event interrupts is two, "<unfinished ...>" and
// "resumed". A write may reach the disk from its begin on; a sync counts from its end on and covers what was done at
// its begin.
func parseTrace(t *testing.T, text, path, acks string) []operation {
	t.Helper()
	var ops []operation
	syncs := make(map[string]int) // per thread, at the begin of a sync that is under way
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		start, end := line[:min(len(line), 200)], line[max(0, len(line)-100):] // between them are megabytes of data
		thread, _, _ := strings.Cut(line, " ")
		if resumedLine.MatchString(start) {
			if covers, under := syncs[thread]; under {
				if !resultEnd.MatchString(end) {
					t.Fatalf("a sync failed: %s", start)
				}
				ops = append(ops, operation{kind: opSync, covers: covers})
				delete(syncs, thread)
			}
			continue
		}
		// thread, call(number<path>, the rest
		head, rest, ok := strings.Cut(line, ">")
		m := callLine.FindStringSubmatch(head + ">")
		if !ok || m == nil || unhex(m[3]) != path && unhex(m[3]) != acks {
			continue
		}
		unfinished := strings.HasSuffix(line, "<unfinished ...>")
		if !unfinished && !resultEnd.MatchString(end) {
			t.Fatalf("a call failed: %s", start)
		}
		quoted := strings.SplitN(rest, `"`, 3) // a comma, data, length and offset
		switch name := m[2]; {
		case name == "write" && unhex(m[3]) == acks && len(quoted) == 3:
			op := operation{kind: opAck}
			if _, err := fmt.Sscan(unhex(quoted[1]), &op.writer, &op.n); err != nil {
				t.Fatalf("%v in %s", err, start)
			}
			ops = append(ops, op)
		case name == "pwrite64" && len(quoted) == 3:
			op := operation{kind: opWrite, data: []byte(unhex(quoted[1]))}
			var length int
			if _, err := fmt.Sscanf(quoted[2], ", %d, %d", &length, &op.offset); err != nil || length != len(op.data) {
				t.Fatalf("%v, %d bytes of %d in %s", err, len(op.data), length, start)
			}
			ops = append(ops, op)
		case name == "ftruncate":
			op := operation{kind: opTruncate}
			if _, err := fmt.Sscanf(rest, ", %d", &op.offset); err != nil {
				t.Fatalf("%v in %s", err, start)
			}
			ops = append(ops, op)
		case (name == "fdatasync" || name == "fsync") && unfinished:
			syncs[thread] = len(ops)
		case name == "fdatasync" || name == "fsync":
			ops = append(ops, operation{kind: opSync, covers: len(ops)})
		default:
			t.Fatalf("the store did what this test does not know: %s", start)
		}
	}
	return ops
}

// unhex undoes strace's -xx.
func unhex(s string) string {
	if !strings.HasPrefix(s, `\x`) {
		return s
	}
	b := make([]byte, 0, len(s)/4)
	for ; len(s) >= 4; s = s[4:] {
		n, err := hex.DecodeString(s[2:4])
		if err != nil {
			panic(err)
		}
		b = append(b, n...)
	}
	return string(b)
}

// checkRecord replays all of the record: it must give the file as it is.
func checkRecord(t *testing.T, l powerLog, path, sync string) {
	t.Helper()
	d := disk{append([]byte(nil), l.before.b...), l.before.size}
	acks, syncs, grown := 0, 0, 0
	for _, op := range l.ops {
		switch op.kind {
		case opAck:
			acks++
		case opSync:
			syncs++
		case opTruncate:
			grown++
			d.apply(op, whole)
		default:
			d.apply(op, whole)
		}
	}
	after := readFile(t, path)
	if d.size != int64(len(after)) || string(d.b) != string(after[:len(d.b)]) || strings.Trim(string(after[len(d.b):]), "\x00") != "" {
		t.Fatalf("the record is not what was done: it gives %d bytes, the file has %d, or they differ", d.size, len(after))
	}
	if acks != powerWriters*powerWrites || sync == "with sync" && syncs < powerWrites || grown == 0 {
		t.Fatalf("the record has %d acknowledgements, %d syncs, %d growths", acks, syncs, grown)
	}
}

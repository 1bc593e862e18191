//go:build linux

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// document is the table as people read it.
const document = "../../docs/faults.md"

// verdict is what all lines of the tables have.
type verdict struct {
	name    string
	skipped string // why
	took    time.Duration
	broken  []string // expectations
}

// row is a line of the table of running services.
type row struct {
	verdict
	health   string
	words    string
	ready    string
	probe    string
	found    bool
	process  string
	requests string
	stop     string
	restart  string
	lost     string
}

// startRow is a line of the table of starts.
type startRow struct {
	verdict
	came string // what came of it
	file string
}

func (v *verdict) bad(format string, args ...any) {
	v.broken = append(v.broken, fmt.Sprintf(format, args...))
}

// report gives what is broken to the test. A row that failed before its end says so in the table.
func (v *verdict) report(t *testing.T) {
	for _, wrong := range v.broken {
		t.Error(wrong)
	}
	if t.Failed() && len(v.broken) == 0 {
		v.bad("the row could not be played to its end; see the log of the test")
	}
}

func (v *verdict) line(cells ...string) []string {
	if v.skipped != "" {
		return []string{v.name, "skipped: " + v.skipped}
	}
	name := v.name
	if len(v.broken) > 0 {
		said := plain(placeName.ReplaceAllString(strings.Join(v.broken, "; "), ""), root)
		name += " **(not as it must be: " + said + ")**"
	}
	return append([]string{name}, cells...)
}

func (r *row) line() []string {
	health := r.health
	if r.words != "" && r.words != r.health {
		health += " " + r.words
	}
	after := "–"
	if r.found {
		after = rounded(r.took)
	}
	return r.verdict.line(health, r.ready, r.probe, after, r.process, r.requests, r.stop, r.restart, r.lost)
}

// rounded is a time that a second run gives again.
func rounded(d time.Duration) string {
	return fmt.Sprintf("%.1f s", d.Round(500*time.Millisecond).Seconds())
}

var (
	placeName = regexp.MustCompile(`\S*/` + prefix + `\S+?/(place|start)-\d+/(data/)?`)
	cure      = regexp.MustCompile(`(?i)restore|remove|check |let only|mounted|chmod|chown|give |free |accept |` +
		`remount|look for|replace the|another node`)
)

// varying is what differs from run to run, in this order, and what the table has instead.
var varying = []struct {
	words   *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\d{8}T\d{6}[\d.]*Z|\d{4}-\d\d-\d\dT[\d:.]+Z`), "…"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:…"},
	{regexp.MustCompile(`\b\d{4,}\b|\b\d+(\.\d+)?ms\b|\b\d+\.\d+s\b|\b0x[0-9a-f]+\b`), "…"},
	{regexp.MustCompile(`/fd/\d+`), "/fd/N"},
	{regexp.MustCompile(`loop\d+`), "loopN"},
	{regexp.MustCompile(`(page|transaction|to|be:) \d+`), "$1 …"},
}

// plain takes out of words what differs from run to run: folders, moments, sizes.
func plain(words, dir string) string {
	words = strings.ReplaceAll(words, dir+"/", "")
	words = strings.ReplaceAll(words, dir, "its folder")
	for _, v := range varying {
		words = v.words.ReplaceAllString(words, v.instead)
	}
	if short := []rune(words); len(short) > 240 {
		words = string(short[:239]) + "…"
	}
	return words
}

const intro = `# Faults

What the service says and does when its file, its disk, its time or its surroundings fail. Every line was made by a real
fault under the real binaries. Settings are the defaults, except where a line names another. Nothing is mocked. To make
the table again takes root on Linux (loop devices, FUSE, ext4 tools) and less than ten minutes:

` + "```" + `
make fault-table
` + "```" + `

FAULT_TABLE_LONG=1 starves the CPU, and makes disks slow, for two minutes instead of 20 seconds. FAULT_TABLE_ONLY, a
regular expression, chooses lines by their names, and writes nothing.

What every line must show:

- A fault is found within interval x fail_after + timeout + 1 s, which is 6 s with the defaults. A damaged account is
  found within one walk over all of them. A disk that answers nothing is found checks.bolt.hung_after (10 s) later.
- A disk that is late but answers fails no check that restarts.
- The process ends only if the fault is its own kill.
- No request takes longer than 6 s, and every 5xx is problem+json.
- A restart serves everything that was acknowledged, or refuses with one line that names the file and says what to do.

A line that breaks a rule says so in bold, and the test fails.

## While it runs

About 50 writes and 50 reads a second go on; in the lines of slow disks it is 20 requests. "Found after" is the time
from the fault to the first /health that shows it; the probe is asked then. "Lost" are acknowledged writes that are
missing after the last start of the line.

` // ends before the table's head

const between = `
## At its start

"File" says whether the file was left byte for byte as it was.

`

const outside = `
## Not in these tables

A remount to read-only by hand is refused by the kernel (EBUSY) while the database is open for writing.

A write that a disk reports as done and loses leaves an older page in its place. It is found if the older page holds
other keys, or no page of the tree. It is not found if it holds an older state of the same accounts:
[bbolt.md](bbolt.md#lost-writes) says why.

What a check itself can do wrong, such as to panic, to answer late or never, is made in the tests of internal/checks.
`

// writeDocument puts the rows into docs/faults.md.
func writeDocument(t *testing.T, running []*row, starts []*startRow) {
	table := [][]string{{"Fault", "/health", "/ready", "Probe", "Found after", "Process", "Requests meanwhile",
		"SIGTERM", "Restart", "Lost"}}
	whole := true
	for _, r := range running {
		table = append(table, r.line())
		whole = whole && (r.skipped != "" || r.restart != "" || len(r.broken) > 0)
	}
	second := [][]string{{"The file is", "A start", "within", "File"}}
	for _, r := range starts {
		second = append(second, r.line(r.came, rounded(r.took), r.file))
	}
	page := intro + harness.Table(table...) + between + harness.Table(second...) + outside
	t.Logf("\n%s", page)
	if !whole {
		t.Log("not all was played: the document stays as it is")
	} else if os.Getenv("FAULT_TABLE_WRITE") == "1" && onlyRows == "" {
		harness.Must(t, os.WriteFile(filepath.FromSlash(document), []byte(page), 0o644))
	}
}

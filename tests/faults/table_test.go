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

// row is a line of the table of running services.
type row struct {
	name     string
	skipped  string // why
	health   string
	words    string
	ready    string
	probe    string
	found    bool
	took     time.Duration
	process  string
	requests string
	stop     string
	restart  string
	lost     string
	broken   []string // expectations
}

// startRow is a line of the table of starts.
type startRow struct {
	name    string
	skipped string
	came    string // what came of it
	took    time.Duration
	file    string
	broken  []string
}

func (r *row) line() string {
	if r.skipped != "" {
		return harness.Row(r.name, "skipped: "+r.skipped, "", "", "", "", "", "", "", "")
	}
	health := r.health
	if r.words != "" && r.words != r.health {
		health += " " + r.words
	}
	after := "–"
	if r.found {
		after = rounded(r.took)
	}
	return harness.Row(r.name+complaint(r.broken), health, r.ready, r.probe, after, r.process, r.requests, r.stop,
		r.restart, r.lost)
}

func complaint(broken []string) string {
	if len(broken) == 0 {
		return ""
	}
	var texts []string
	for _, text := range broken {
		texts = append(texts, plain(placeName.ReplaceAllString(text, ""), root))
	}
	return " **(not as it must be: " + strings.Join(texts, "; ") + ")**"
}

func (r *startRow) line() string {
	if r.skipped != "" {
		return harness.Row(r.name, "skipped: "+r.skipped, "", "")
	}
	return harness.Row(r.name+complaint(r.broken), r.came, rounded(r.took), r.file)
}

// rounded is a time that a second run gives again.
func rounded(d time.Duration) string {
	return fmt.Sprintf("%.1f s", d.Round(500*time.Millisecond).Seconds())
}

var (
	stamp     = regexp.MustCompile(`\d{8}T\d{6}[\d.]*Z`)
	moment    = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`)
	figure    = regexp.MustCompile(`\b\d{4,}\b|\b\d+(\.\d+)?ms\b|\b\d+\.\d+s\b|\b0x[0-9a-f]+\b`)
	loop      = regexp.MustCompile(`loop\d+`)
	pageWord  = regexp.MustCompile(`(page|transaction|to|be:) \d+`)
	descript  = regexp.MustCompile(`/fd/\d+`)
	placeName = regexp.MustCompile(`\S*/` + prefix + `\S+?/(place|start)-\d+/(data/)?`)
	spoken    = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	cure      = regexp.MustCompile(`(?i)restore|remove|check |let only|mounted|chmod|chown|give |free |accept |remount|look for|replace the|another node`)
)

// plain takes out of words what differs from run to run: folders, moments, sizes.
func plain(words, dir string) string {
	words = strings.ReplaceAll(words, dir+"/", "")
	words = strings.ReplaceAll(words, dir, "its folder")
	words = stamp.ReplaceAllString(words, "…")
	words = moment.ReplaceAllString(words, "…")
	words = spoken.ReplaceAllString(words, "127.0.0.1:…")
	words = figure.ReplaceAllString(words, "…")
	words = descript.ReplaceAllString(words, "/fd/N")
	words = loop.ReplaceAllString(words, "loopN")
	words = pageWord.ReplaceAllString(words, "$1 …")
	if short := []rune(words); len(short) > 240 {
		words = string(short[:239]) + "…"
	}
	return words
}

const intro = `# Faults

What the service says and does when its file, its disk, its time or its surroundings fail. Every line was made by a
real fault under the real binaries with their default settings, but for those that a line
names; nothing is mocked. To make it again, as root on Linux
(loop devices, FUSE, ext4 tools), in less than ten minutes:

` + "```" + `
make fault-table
` + "```" + `

FAULT_TABLE_LONG=1 starves the CPU for two minutes instead of 20 seconds. FAULT_TABLE_ONLY, a regular expression, chooses
lines by their names, and writes nothing.

A fault must be found within interval x fail_after + timeout + 1 s = 6 s of the defaults (faults in one account within
one walk over all of them). The process lives through all but its own kill. No request may hang longer than 6 s, and
every 5xx is problem+json. A restart serves everything that was acknowledged, or refuses with one line that names
the file and says what to do. A line that breaks this says so in bold, and the test fails.

## While it runs

About 50 writes and 50 reads a second go on. "Found after" is the time from the fault to the first /health that shows
it; the probe is asked then. "Lost" are acknowledged writes that are missing after the last start of the line.

` // ends before the table's head

const between = `
## At its start

"File" says whether the file was left byte for byte as it was.

`

const outside = `
## Not in these tables

A remount to read-only by hand is refused by the kernel (EBUSY) while the database is open for writing.

A start does not read all of the file: a list of free pages that names a page in use is found by
accountservice verify, not by the start.

What a check itself can do wrong, such as to panic, to answer late or never, is made in the tests of internal/checks.
`

// writeDocument puts the rows into docs/faults.md.
func writeDocument(t *testing.T, running []*row, starts []*startRow) {
	var b strings.Builder
	b.WriteString(intro)
	b.WriteString(harness.Row("Fault", "/health", "/ready", "Probe", "Found after", "Process", "Requests meanwhile",
		"SIGTERM", "Restart", "Lost"))
	b.WriteString(strings.Repeat("|---", 10) + "|\n")
	for _, r := range running {
		b.WriteString(r.line())
	}
	b.WriteString(between)
	b.WriteString(harness.Row("The file is", "A start", "within", "File"))
	b.WriteString(strings.Repeat("|---", 4) + "|\n")
	for _, r := range starts {
		b.WriteString(r.line())
	}
	b.WriteString(outside)
	t.Logf("\n%s", b.String())
	for _, r := range running {
		if r.skipped == "" && r.restart == "" && len(r.broken) == 0 {
			t.Logf("%s was not played: the document stays as it is", r.name)
			return
		}
	}
	if os.Getenv("FAULT_TABLE_WRITE") != "1" || onlyRows != "" {
		return
	}
	harness.Must(t, os.WriteFile(filepath.FromSlash(document), []byte(b.String()), 0o644))
}

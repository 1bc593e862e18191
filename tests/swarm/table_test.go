//go:build linux

package swarm

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// document is the table as people read it.
const document = root + "/docs/swarm.md"

// outcome is what became of a task that was broken.
type outcome struct {
	name      string
	unhealthy time.Duration // after the fault; 0: it ended before a probe failed
	ended     time.Duration
	code      int
	serves    time.Duration // the replacement's first 200
	why       string        // docker service ps
	probe     string        // docker inspect
	says      string        // the log of a replacement that refuses to start
}

func (o outcome) line() string {
	unhealthy, serves := "–", "refuses to start: "+o.says
	if o.unhealthy > 0 {
		unhealthy = seconds(o.unhealthy)
	}
	if o.serves > 0 {
		serves = seconds(o.serves)
	}
	return harness.Row(o.name, unhealthy, seconds(o.ended), fmt.Sprint(o.code), serves, o.why, o.probe)
}

func (o outcome) print(t *testing.T) {
	t.Helper()
	t.Logf("%s: unhealthy after %.1f s, ended after %.1f s with code %d, first 200 after %.1f s\n  docker service ps: %s\n  probe: %s\n  log: %s",
		o.name, o.unhealthy.Seconds(), o.ended.Seconds(), o.code, o.serves.Seconds(), o.why, o.probe, o.says)
}

// results are what the parts of one run have measured.
var results struct {
	sync.Mutex
	outcomes map[string]outcome
	figures  map[string][][2]string // of a part of the test
}

func publish(o outcome) {
	results.Lock()
	defer results.Unlock()
	if results.outcomes == nil {
		results.outcomes = map[string]outcome{}
	}
	results.outcomes[o.name] = o
}

// measured prints a figure and keeps it for the document.
func measured(t *testing.T, what, figure string) {
	t.Helper()
	t.Logf("%-70s %s", what, figure)
	results.Lock()
	defer results.Unlock()
	if results.figures == nil {
		results.figures = map[string][][2]string{}
	}
	name := path.Base(t.Name())
	results.figures[name] = append(results.figures[name], [2]string{what, figure})
}

// moment is what differs in the words from run to run.
var moment = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z|\d{8}T\d{6}[\d.]*Z|rescue-\d+`)

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

const intro = `# Swarm

What a real Swarm of one node does with the service and its stack file when tasks fall ill, releases are bad and
machines are busy. Every line was measured by

` + "```" + `
make swarm-test
` + "```" + `

as root on Linux with Docker, HAProxy and docker-compose, in about ten minutes; SWARM_TEST_WRITE=1 writes this page.
SWARM_TEST_IMAGE=NAME tests that image instead of one built from this tree. Times are of one run, with a dozen services
on %d cores; the probe asks every 5 s, so they differ by that much from run to run. Parts of
it are measured again by name, such as

` + "```" + `
make swarm-test STORY='beside/release that hangs'
make swarm-test STORY='beside/its listener is gone'
make swarm-test STORY='no restart'
` + "```" + `

## Faults that must replace the task

Seconds count from the fault. "Unhealthy" is the engine's own event, "200" the first answer with the right account by the
replacement. A process that ends by itself is replaced before any probe fails.

`

// writeDocument makes the page of what a whole run has measured.
func writeDocument(t *testing.T) {
	results.Lock()
	defer results.Unlock()
	var page, figures, words strings.Builder
	fmt.Fprintf(&page, intro, runtime.NumCPU())
	page.WriteString(harness.Row("Fault", "Unhealthy", "Ended", "Code", "200", "docker service ps", "The probe's line") + strings.Repeat("|---", 7) + "|\n")
	for _, f := range faults() {
		o, played := results.outcomes[f.name]
		if !played {
			t.Logf("%s was not played: the document stays as it is", f.name)
			return
		}
		page.WriteString(o.line())
	}
	for _, name := range append(storyNames(), updateName, calmName) {
		lines := results.figures[strings.ReplaceAll(name, " ", "_")]
		if len(lines) == 0 {
			t.Logf("%s was not played: the document stays as it is", name)
			return
		}
		for _, line := range lines {
			if strings.Contains(line[1], "`") {
				words.WriteString(harness.Row(line[0], line[1]))
			} else {
				figures.WriteString(harness.Row(line[0], line[1]))
			}
		}
	}
	page.WriteString("\n## Updates, stops and what must not restart\n\n" + harness.Row("What", "Measured") + "|---|---|\n" + figures.String())
	page.WriteString("\n## What is said\n\n" + harness.Row("Where", "Words") + "|---|---|\n" + words.String())
	t.Logf("\n%s", page.String())
	if os.Getenv("SWARM_TEST_WRITE") != "1" || t.Failed() {
		return
	}
	harness.Must(t, os.WriteFile(document, []byte(moment.ReplaceAllString(page.String(), "…")), 0o644))
}

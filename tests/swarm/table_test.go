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

func (o outcome) line() []string {
	unhealthy, serves := "–", "refuses to start: "+o.says
	if o.unhealthy > 0 {
		unhealthy = seconds(o.unhealthy)
	}
	if o.serves > 0 {
		serves = seconds(o.serves)
	}
	return []string{o.name, unhealthy, seconds(o.ended), fmt.Sprint(o.code), serves, o.why, o.probe}
}

// results are what the parts of one run have measured.
var results = struct {
	sync.Mutex
	outcomes map[string]outcome
	figures  map[string][][]string // of a part of the test
}{outcomes: map[string]outcome{}, figures: map[string][][]string{}}

func publish(t *testing.T, o outcome) {
	t.Helper()
	t.Logf("%q", o.line())
	results.Lock()
	defer results.Unlock()
	results.outcomes[o.name] = o
}

// measured prints a figure and keeps it for the document.
func measured(t *testing.T, what, figure string) {
	t.Helper()
	t.Logf("%-70s %s", what, figure)
	results.Lock()
	defer results.Unlock()
	name := path.Base(t.Name())
	results.figures[name] = append(results.figures[name], []string{what, figure})
}

// moment is what differs in the words from run to run.
var moment = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z|\d{8}T\d{6}[\d.]*Z|rescue-\d+|\[\d+\]/[0-9a-f]{16}`)

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

const intro = `# Swarm

What a real Swarm of one node does with the service and its stack file when tasks become unhealthy, releases are bad and
machines are busy. Every line was measured by

` + "```" + `
make swarm-test
` + "```" + `

as root on Linux with Docker, HAProxy, Caddy and docker-compose, in about 20 minutes. SWARM_TEST_WRITE=1 writes this
page, and SWARM_TEST_IMAGE=NAME tests that image instead of one built from this tree. Each line comes from one run, with
a dozen services on %d cores. The probe asks every 5 s, so the figures differ by that much from run to run. To measure
one part again, name it:

` + "```" + `
make swarm-test STORY='beside/release whose disk hangs'
make swarm-test STORY='beside/its listener is gone'
make swarm-test STORY='no restart'
` + "```" + `

## Faults that must replace the task

Times are in seconds from the fault. "Unhealthy" is the engine's event, and "200" is the replacement's first answer with
the right account. A process that ends by itself is replaced before any probe fails.

`

const starved = `A task with too little CPU time for its probe is replaced: a probe needs some 20 ms of CPU time within 2 s, and the
service 4 ms a second. The weights predict what neighbours leave only on a machine without other work (2 cores: 111 ms a
second beside 8 neighbours of 2 times the weight, 59 ms beside 8 of 4 times), so the test measures it. A task that gets
20 ms a second or more must not be restarted.

`

// writeDocument makes the page of what a whole run has measured.
func writeDocument(t *testing.T) {
	results.Lock()
	defer results.Unlock()
	outcomes := [][]string{{"Fault", "Unhealthy", "Ended", "Code", "200", "docker service ps", "The probe's line"}}
	figures, words := [][]string{{"What", "Measured"}}, [][]string{{"Where", "Words"}}
	for _, f := range faults() {
		o, played := results.outcomes[f.name]
		if !played {
			t.Logf("%s was not played: the document stays as it is", f.name)
			return
		}
		outcomes = append(outcomes, o.line())
	}
	for _, name := range storyNames() {
		lines := results.figures[strings.ReplaceAll(name, " ", "_")]
		if len(lines) == 0 {
			t.Logf("%s was not played: the document stays as it is", name)
			return
		}
		for _, line := range lines {
			if strings.Contains(line[1], "`") {
				words = append(words, line)
			} else {
				figures = append(figures, line)
			}
		}
	}
	page := fmt.Sprintf(intro, runtime.NumCPU()) + harness.Table(outcomes...) +
		"\n## Updates, stops and what must not restart\n\n" + starved + harness.Table(figures...) +
		"\n## What is said\n\n" + harness.Table(words...)
	t.Logf("\n%s", page)
	if os.Getenv("SWARM_TEST_WRITE") == "1" && !t.Failed() {
		harness.Must(t, os.WriteFile(document, []byte(moment.ReplaceAllString(page, "…")), 0o644))
	}
}

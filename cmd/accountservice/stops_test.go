package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/tests/harness"
)

// A database is deleted under its service, and then the copy that the service put back. On a Swarm, five tasks that do
// not start push the first one, which tells why, out of docker service ps.
func TestReasonOfASickStopOutlivesRefusedStarts(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), quick...)
	saved := filepath.Join(t.TempDir(), "saved.db")
	harness.Must(t, os.Rename(p.Path, saved))
	p.Says(t, "/health", "were put back at the path")
	p.Await(t, "/health", 503)
	p.Stop(t, 3)
	p.Logs(t, `"err":"told to stop while unhealthy: bolt (restart): store unavailable: it stopped at `)
	harness.Must(t, os.Remove(p.Path))
	for refused := range 3 {
		p = start(t, p.Path)
		p.Exits(t, 1)
		p.Logs(t, `"msg":"stopped before","exit_code":3,"times":1,`)
		p.Logs(t, "was deleted or moved away")
		if refused > 0 {
			p.Logs(t, fmt.Sprintf(`"msg":"stopped before","exit_code":1,"times":%d,`, refused))
		}
	}
	harness.Must(t, os.Rename(saved, p.Path))
	for range 2 { // a healthy stop ends no warning and adds none
		p = ready(t, p.Path)
		p.Says(t, "/health", `"warning":"it stopped at `)
		said := p.Says(t, "/health", `"status":"OK"`)
		for _, want := range []string{"with exit code 3: told to stop while unhealthy: bolt (restart): ",
			"; it stopped 3 times from ", " with exit code 1: bolt open " + p.Path + ": the file is gone"} {
			if !strings.Contains(said, want) {
				t.Errorf("/health = %s, want %s", said, want)
			}
		}
		p.Stop(t, 0)
	}
	wantFiles(t, p.Path, "", ".stops", ".witness")
}

func TestReasonThatCannotBeKeptIsSaidOnceAndDelaysNothing(t *testing.T) {
	t.Parallel()
	path := writtenLast(t, "mine")
	harness.Must(t, os.Remove(path))
	harness.Must(t, os.Mkdir(path+".stops", 0o700))
	p := start(t, path)
	p.Exits(t, 1)
	p.Logs(t, path+".stops")
	if n := strings.Count(p.Log.String(), "says that there was one"); n != 1 {
		t.Errorf("the reason is said %d times, want once", n)
	}
	wantFiles(t, path, ".stops", ".witness")
}

func TestDiskThatDoesNotAnswerDelaysAStopByASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung, begin := make(chan struct{}), time.Now()
		if v := soon(func() int { <-hung; return 1 }); v != 0 || time.Since(begin) != time.Second {
			t.Errorf("got %d after %s, want 0 after 1s", v, time.Since(begin))
		}
		close(hung)
	})
}

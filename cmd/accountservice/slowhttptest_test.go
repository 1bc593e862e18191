package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// slowhttptest makes 1,000 slow connections of each kind beside honest clients, of which none may fail. None of the
// slow ones is held for longer than 20 s.
func TestCrowdOfSlowhttptestIsLetGo(t *testing.T) {
	if !heavy {
		t.Skip("CROWD_TEST=1 runs slowhttptest for half a minute each")
	}
	path := tool(t, "slowhttptest", "slowhttptest")
	const crowd, honest, span, limit = 1000, 8, 12 * time.Second, 20 * time.Second
	for name, args := range map[string][]string{
		"headers": {"-H", "-i", "1", "-u", "/health"},
		"bodies":  {"-B", "-i", "1", "-s", "100000", "-f", "application/json", "-u", "/accounts"},
		"reads":   {"-X", "-n", "1", "-z", "5", "-w", "64", "-y", "512", "-k", "3", "-u", "/docs/swagger-ui-bundle.js"},
	} {
		t.Run(name, func(t *testing.T) {
			p := ready(t, newPath(t))
			args[len(args)-1] = p.URL + args[len(args)-1]
			addr := fmt.Sprint("127.0.0.1:", p.Port)
			slow := exec.Command(path, append(args, "-c", fmt.Sprint(crowd), "-r", fmt.Sprint(crowd), "-l", "60")...)
			harness.Must(t, slow.Start())
			defer func() { slow.Process.Kill(); slow.Wait() }()
			harness.WaitFor(t, 10*time.Second, "slow connections", func() bool { return len(harness.Established(t, addr)) > crowd/2 })
			reads, creates := make(chan outcome, 1), make(chan outcome, 1)
			go func() { reads <- repeat(t, p, honest, span, readOne, 200) }()
			go func() { creates <- repeat(t, p, honest, span, createOne, 201) }()
			newProber(t, p).beside(t, func() {
				if held := longest(t, addr); held > limit {
					t.Errorf("a slow connection is held for %s", held)
				}
			})
			for _, o := range []outcome{<-reads, <-creates} {
				if t.Log(o); len(o.bad) > 0 {
					t.Errorf("%d honest requests failed, such as %s", len(o.bad), o.bad[0])
				}
			}
		})
	}
}

// longest waits until there are no connections to addr, and returns how long one of them lasted.
func longest(t *testing.T, addr string) (held time.Duration) {
	t.Helper()
	first := make(map[string]time.Time)
	harness.WaitFor(t, 2*time.Minute, "the end of all connections", func() bool {
		lines := harness.Established(t, addr)
		for _, line := range lines {
			inode := strings.Fields(line)[9]
			if first[inode].IsZero() {
				first[inode] = time.Now()
			}
			held = max(held, time.Since(first[inode]))
		}
		return len(lines) == 0
	})
	t.Logf("the longest of %d connections is held for %s", len(first), held)
	return held
}

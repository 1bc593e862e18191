//go:build linux

package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// quietFor names the variable that says how long nothing must be found.
const quietFor = "NO_FALSE_ALARM"

// What goes on meanwhile.
const (
	quietSeeds   = 20_000
	quietWriters = 64
	quietReaders = 8
	quietWalkers = 2    // each goes over the whole list, again and again
	quietBulk    = 5000 // new accounts imported each half minute
	quietBurners = 2    // neighbours that take all the CPU they get
)

// TestBusyServiceIsNeverCalledIll plays no fault: a service at its limit, on a
// machine at its limit, must not be reported. Here an alarm is the outage.
func TestBusyServiceIsNeverCalledIll(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv(quietFor))
	if err != nil || span < time.Minute {
		t.Skipf("takes minutes and all CPUs: %s=30m, at least 1m, asks for it (make no-false-alarm)", quietFor)
	}
	dir, err := os.MkdirTemp(root, "quiet-")
	harness.Must(t, err)
	well := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer well.Close()
	svc := startService(t, filepath.Join(dir, "accounts.db"), nil,
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL="+well.URL,
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_PORT_URL=tcp://"+well.Listener.Addr().String(),
		fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", quietSeeds), "ACCOUNTSERVICE_CHECKS_BOLT_WRITE_CANARY=true")
	harness.Must(t, svc.healthy(20*time.Second))
	t.Cleanup(burn(t, quietBurners, 0))
	l := newLoad(svc.URL)
	l.crowd()
	l.watchQuiet(svc)
	if svc.Ended(span) {
		t.Errorf("the service ended: exit %d", svc.Code())
	}
	l.end()
	codes, slowest := l.seen()
	t.Logf("in %s: %v, and %d writes acknowledged; answers %v, the slowest after %s", span, l.done, l.acks.Load(), codes,
		slowest.Round(time.Millisecond))
	if changes := alarms(svc.Log.String()); len(changes) > 0 {
		t.Errorf("false alarms: %v", changes)
	}
	for _, what := range []string{"/health", "probe", "read", "walk", "import", "backup"} {
		if l.done[what] == 0 {
			t.Errorf("it was not busy: no %s", what)
		}
	}
	if n := l.acks.Load(); n < int32(20*span.Seconds()) {
		t.Errorf("it was not busy: %d acknowledged writes", n)
	}
	for _, wrong := range l.faults {
		t.Error(wrong)
	}
	if got := strings.Join(codes, " "); got != "GET 200 PUT 200 PUT 201" {
		t.Errorf("answers to clients: %s", got)
	}
	if lost := l.compare(svc.URL, quietSeeds); !lost.none() {
		t.Errorf("lost of %d acknowledged writes: %s", l.acks.Load(), lost)
	}
	if how := svc.stop(); how.code != 0 || how.killed {
		t.Errorf("stopped with %s", how)
	}
}

// burn starts neighbours that take all CPU that they get, until stop.
func burn(t *testing.T, n, nice int) (stop func()) {
	t.Helper()
	var all []*exec.Cmd
	for range n {
		burner := exec.Command("nice", "-n", fmt.Sprint(nice), "sh", "-c", "while :; do :; done")
		burner.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		harness.Must(t, burner.Start())
		all = append(all, burner)
	}
	return func() {
		for _, burner := range all {
			burner.Process.Kill()
			burner.Wait()
		}
	}
}

// crowd starts all clients of the quiet run.
func (l *load) crowd() {
	for w := range quietWriters {
		l.again(func(n int) { l.put(fmt.Sprintf("w%02d-%02d", w, n%50), fmt.Sprint("write ", n)) })
	}
	for range quietReaders {
		l.again(func(n int) {
			l.read(n)
			l.did("read")
			<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
		})
	}
	for range quietWalkers {
		l.again(func(int) {
			if _, whole := l.list(l.url); !whole {
				l.wrong("the list could not be read to its end")
			}
			l.did("walk")
		})
	}
	l.again(func(n int) {
		l.bulk(n)
		l.did("import")
		l.rest(30 * time.Second)
	})
	l.again(func(int) {
		l.backup()
		l.did("backup")
		l.rest(time.Second)
	})
}

// watchQuiet asks /health ten times a second, and the probe each second.
func (l *load) watchQuiet(svc *service) {
	var never atomic.Bool
	l.tick(100*time.Millisecond, &never, func(int) {
		if a := svc.ask("/health"); a.code != 200 || len(a.Failures) > 0 {
			l.wrong("/health = %s %v", a, a.Failures)
		}
		l.did("/health")
	})
	l.tick(time.Second, &never, func(int) {
		if code, line := svc.probe(); code != 0 {
			l.wrong("the probe exits with %d: %s", code, line)
		}
		l.did("probe")
	})
}

// did counts what was done to the end.
func (l *load) did(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[what]++
}

func (l *load) rest(span time.Duration) {
	select {
	case <-time.After(span):
	case <-l.stop:
	}
}

// backup exports all accounts, as one stream.
func (l *load) backup() {
	client := http.Client{Timeout: 2 * time.Minute}
	resp, err := client.Get(l.url + "/accounts:export")
	if err != nil {
		l.wrong("export: %v", err)
		return
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != 200 || n == 0 || resp.Trailer.Get("Content-Digest") == "" {
		l.wrong("export = %d, %d bytes, trailer %v, %v", resp.StatusCode, n, resp.Trailer, err)
	}
}

// bulk imports new accounts, as one stream.
func (l *load) bulk(n int) {
	var lines strings.Builder
	accounts := make(map[string]account, quietBulk)
	for i := range quietBulk {
		acc := account{ID: fmt.Sprintf("bulk-%04d-%04d", n, i), Name: strings.Repeat("b", 200), Version: 1}
		accounts[acc.ID] = acc
		fmt.Fprintf(&lines, "{\"id\":%q,\"name\":%q}\n", acc.ID, acc.Name)
	}
	client := http.Client{Timeout: time.Minute}
	resp, err := client.Post(l.url+"/accounts:import", "application/x-ndjson", strings.NewReader(lines.String()))
	if err != nil {
		l.wrong("import: %v", err)
		return
	}
	defer resp.Body.Close()
	var done struct{ Created int }
	if err := json.NewDecoder(resp.Body).Decode(&done); err != nil || resp.StatusCode != 200 || done.Created != quietBulk {
		l.wrong("import = %d, %d created, %v", resp.StatusCode, done.Created, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.acked, accounts)
}

// again calls f until the load ends.
func (l *load) again(f func(n int)) {
	l.all.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-l.stop:
				return
			default:
				f(n)
			}
		}
	})
}

// alarms returns the lines of a log that say that a check fails.
func alarms(log string) (changes []string) {
	for line := range strings.Lines(log) {
		var entry struct{ Msg, To, Check, Err string }
		if json.Unmarshal([]byte(line), &entry) != nil {
			continue
		}
		if entry.Msg == "health changed" && entry.To == "failing" {
			changes = append(changes, entry.Check+": "+entry.Err)
		}
	}
	return changes
}

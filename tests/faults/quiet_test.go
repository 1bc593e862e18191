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
	"sync"
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
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL="+well.URL, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_PORT_URL=tcp://"+well.Listener.Addr().String(),
		fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", quietSeeds), "ACCOUNTSERVICE_CHECKS_BOLT_WRITE_CANARY=true")
	harness.Must(t, svc.healthy(20*time.Second))
	burn(t)
	l := newClients(svc.URL)
	c := l.crowd()
	watch := watchQuiet(l, svc)
	if svc.Ended(span) {
		t.Errorf("the service ended: exit %d", svc.Code())
	}
	l.end()
	changes := alarms(svc.Log.String())
	t.Logf("%s: %d answers of /health, slowest %s, %d of them not 200; %d probes, %d failed; log: %d checks turned",
		span, watch.asked.Load(), time.Duration(watch.slowest.Load()).Round(time.Millisecond), watch.ill.Load(), watch.probes.Load(), watch.failed.Load(), len(changes))
	codes, slowest := l.seen()
	t.Logf("%d writes acknowledged, %d reads, %d walks of the list, %d imports, %d backups; answers %v, the slowest after %s",
		l.acks, c.reads.Load(), c.walks.Load(), c.loads.Load(), c.backups.Load(), codes, slowest.Round(time.Millisecond))
	if watch.ill.Load()+watch.failed.Load() > 0 || len(changes) > 0 {
		t.Errorf("false alarms: %v; the first answers: %v", changes, watch.words)
	}
	for what, n := range map[string]int64{
		"acknowledged writes": int64(l.acks) / int64(20*span.Seconds()),
		"walks":               c.walks.Load(),
		"imports":             c.loads.Load(),
		"backups":             c.backups.Load(),
		"probes":              watch.probes.Load(),
	} {
		if n == 0 {
			t.Errorf("it was not busy: too few %s", what)
		}
	}
	for _, wrong := range l.faults {
		t.Error(wrong)
	}
	if got := strings.Join(codes, " "); got != "GET 200 PUT 200 PUT 201" {
		t.Errorf("answers to clients: %s", got)
	}
	if lost := l.compare(svc.URL, quietSeeds); !lost.none() {
		t.Errorf("lost of %d acknowledged writes: %s", l.acks, lost)
	}
	if how := svc.stop(); how.code != 0 || how.killed {
		t.Errorf("stopped with %s", how)
	}
}

// burn starts neighbours that leave the service what the scheduler gives it.
func burn(t *testing.T) {
	t.Helper()
	for range quietBurners {
		burner := exec.Command("sh", "-c", "while :; do :; done")
		burner.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		harness.Must(t, burner.Start())
		t.Cleanup(func() { burner.Process.Kill(); burner.Wait() })
	}
}

// crowd counts what the clients did.
type crowd struct{ reads, walks, loads, backups atomic.Int64 }

// crowd starts all clients of the quiet run.
func (l *load) crowd() *crowd {
	c := &crowd{}
	for w := range quietWriters {
		l.again(func(n int) { l.put(fmt.Sprintf("w%02d-%02d", w, n%50), fmt.Sprint("write ", n)) })
	}
	for range quietReaders {
		l.again(func(n int) {
			l.read(n)
			c.reads.Add(1)
			<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
		})
	}
	for range quietWalkers {
		l.again(func(int) {
			if _, whole := l.list(l.url); whole {
				c.walks.Add(1)
			} else {
				l.wrong("the list could not be read to its end")
			}
		})
	}
	l.again(func(n int) {
		l.bulk(n)
		c.loads.Add(1)
		l.rest(30 * time.Second)
	})
	l.again(func(int) {
		l.backup()
		c.backups.Add(1)
		l.rest(time.Second)
	})
	return c
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

// quiet is what was asked of a service that is well, and what it said.
type quiet struct {
	asked, ill, probes, failed atomic.Int64
	slowest                    atomic.Int64 // of /health
	mu                         sync.Mutex
	words                      []string // the first answers that were wrong
}

// watchQuiet asks /health ten times a second, and the probe each second.
func watchQuiet(l *load, svc *service) *quiet {
	q := &quiet{}
	wrong := func(format string, args ...any) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if len(q.words) < 5 {
			q.words = append(q.words, fmt.Sprintf(format, args...))
		}
	}
	var always atomic.Bool
	l.tick(100*time.Millisecond, &always, func(int) {
		began := time.Now()
		a := svc.ask("/health")
		for took := int64(time.Since(began)); ; {
			if was := q.slowest.Load(); took <= was || q.slowest.CompareAndSwap(was, took) {
				break
			}
		}
		if q.asked.Add(1); a.code != 200 || len(a.Failures) > 0 {
			q.ill.Add(1)
			wrong("/health = %s %v", a, a.Failures)
		}
	})
	l.tick(time.Second, &always, func(int) {
		code, line := svc.probe()
		if q.probes.Add(1); code != 0 {
			q.failed.Add(1)
			wrong("the probe exits with %d: %s", code, line)
		}
	})
	return q
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

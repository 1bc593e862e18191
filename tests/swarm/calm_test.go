//go:build linux

package swarm

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/tests/harness"
)

const (
	calm      = 2 * time.Minute // how long the faults last that must not restart
	burst     = 15 * time.Second
	burstRate = 5000 // requests a second
)

// noRestart does to two services what a restart can't mend, all at once, and wants the same containers in the end.
func noRestart(d docker, i image) {
	needRoot(d.t)
	peers := newPeers(d)
	place := newMemory(d.t, "96m")
	secret := d.secret("http://someone:something@" + peers.down.Addr + "/")
	users := newStack(d) // its dependencies are ill
	users.deploy(i.name, fmt.Sprintf(`
services:
  accountservice:
    environment:
      ACCOUNTSERVICE_CHECKS_DEPENDENCIES_DOWN_URL_FILE: /run/secrets/url
      ACCOUNTSERVICE_CHECKS_DEPENDENCIES_SLOW_URL: http://%s/
    secrets:
      - {source: url, uid: "65532", gid: "65532", mode: 0400}
secrets:
  url: {external: true, name: %s}
`, peers.slow.Addr, secret))
	disk := newStack(d) // its disk is full
	disk.deploy(i.name, dataFrom(place))

	users.wantNoRights(users.healthyTask())
	disk.healthyTask()
	d.eventually(patience, "the dependency down is asked with its secret", func() (bool, string) {
		return peers.withSecret.Load() > 0, "not asked with it"
	})
	disk.rename(disk.url, "10000", "Kept")

	peers.down.Close()
	peers.isSlow.Store(true)
	filler := harness.Fill(d.t, place)
	ill := []struct {
		s     *stack
		check string
	}{{users, "down"}, {users, "slow"}, {disk, "disk"}}
	for _, c := range ill {
		c.s.wantCheck(c.check, http.StatusServiceUnavailable)
	}
	rate, bad := d.burst("http://" + net.JoinHostPort(gateway(d), users.port) + "/health")
	measured(d.t, fmt.Sprintf("%d requests a second asked of /health for %s: sent, not 200", burstRate, burst),
		fmt.Sprintf("%.0f a second, %d", rate, bad))
	if bad > 0 || rate < burstRate/5 {
		d.t.Errorf("%.0f requests a second, of which %d were not 200; want %d and none", rate, bad, burstRate)
	}
	for _, weight := range []int{2, 4} {
		d.outlast(weight,
			tenant{users, "a dependency down and one slow", func() { users.rename(users.url, "10000", "Written meanwhile") }},
			tenant{disk, "a full disk", disk.wantNoRoom})
	}

	peers.comeUp(d, peers.down.Addr)
	peers.isSlow.Store(false)
	harness.Must(d.t, os.Remove(filler))
	for _, c := range ill {
		c.s.wantCheck(c.check, http.StatusOK)
	}
	disk.rename(disk.url, "10000", "Written again")
}

// tenant is a service that must keep its task.
type tenant struct {
	*stack
	ill   string // what is ill about it
	write func()
}

// enough is the CPU time a second with which a task must stay healthy. A probe takes some 20 ms of it in the container
// and gives up after 2 s, and the service takes 4 ms a second: with less than 14 ms a second no probe passes, and being
// replaced is right. The rest is for turns that come late.
const enough = 20 * time.Millisecond

// outlast puts busy neighbours beside tenants, each of weight times a tenant's own, and wants no restart. On a machine
// that is busy with other work, neighbours leave a tenant less than their weight says: what it can have is measured.
func (d docker) outlast(weight int, all ...tenant) {
	d.t.Helper()
	var seen []*watch
	var before []int
	for _, c := range all {
		seen, before = append(seen, c.watch("10000")), append(before, c.started())
	}
	n := 4 * runtime.NumCPU()
	beside := d.starve(n, weight)
	d.pause(calm)
	share := beside.share(d.t)
	with := fmt.Sprintf("%.0f minutes of %d busy neighbours of %d times its weight on %d cores", calm.Minutes(), n, weight,
		runtime.NumCPU())
	measured(d.t, with+": the CPU time left for each service", fmt.Sprintf("%.0f ms a second", share.Seconds()*1000))
	for i, c := range all {
		restarts := c.started() - before[i]
		if restarts > 0 && share >= enough {
			c.t.Errorf("%d restarts with %s of CPU a second, want none from %s on", restarts, share, enough)
		}
		if restarts > 0 { // the last one may be under way
			beside.end()
			c.healthyTask()
		}
		c.write()
		seen[i].stop()
		slowest, asked, bad := seen[i].slowestHealth()
		what := fmt.Sprintf("%s, and %s: ", with, c.ill)
		measured(d.t, what+"restarts", fmt.Sprint(restarts))
		measured(d.t, what+"answers of /health that were not 200, slowest",
			fmt.Sprintf("%d of %d, %s", bad, asked, seconds(slowest)))
	}
	beside.end()
}

// started is how many tasks there have been: one that was unhealthy is replaced.
func (s *stack) started() int {
	s.t.Helper()
	all, err := s.tasks()
	harness.Must(s.t, err)
	return len(all)
}

// wantCheck waits until a check has this answer.
func (s *stack) wantCheck(check string, want int) {
	s.t.Helper()
	s.eventually(patience, fmt.Sprint("/health/checks/", check, " ", want), func() (bool, string) {
		status, body := s.ask(http.MethodGet, s.url+"/health/checks/"+check, "", nil)
		return status == want, body
	})
}

// wantNoRoom writes until it is told that the disk is full: the first writes can still find room in the file itself.
func (s *stack) wantNoRoom() {
	s.t.Helper()
	n := 0
	s.eventually(time.Minute, "507 for a write", func() (full bool, state string) {
		for range 50 {
			n++
			url := fmt.Sprintf("%s/accounts/full-%d", s.url, n)
			status, body := s.ask(http.MethodPut, url, `{"name":"One more"}`, nil)
			if full = status == http.StatusInsufficientStorage; full {
				break
			}
			state = fmt.Sprint(n, " writes: ", status, body)
		}
		return full, state
	})
	s.wantAccount(s.url, "10000", "Kept")
}

// wantNoRights wants that the task runs as the stack file says.
func (s *stack) wantNoRights(k task) {
	s.t.Helper()
	c := s.containerOf(k)
	status := harness.Read(s.t, fmt.Sprintf("/proc/%d/status", c.State.Pid))
	for _, want := range []string{"CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "Uid:\t65532\t65532\t65532\t65532\n"} {
		if !strings.Contains(status, want) {
			s.t.Errorf("the process has not %q:\n%s", want, status)
		}
	}
	if !c.HostConfig.ReadonlyRootfs {
		s.t.Error("the root file system can be written")
	}
}

// peers are two dependencies on this machine: one that goes down, and one that is slow.
type peers struct {
	down, slow *http.Server
	isSlow     atomic.Bool
	withSecret atomic.Int64
}

func newPeers(d docker) *peers {
	p := &peers{}
	p.slow = serve(d, freeAddress(d), func(_ http.ResponseWriter, r *http.Request) {
		if p.isSlow.Load() {
			<-r.Context().Done()
		}
	})
	p.comeUp(d, freeAddress(d))
	return p
}

// comeUp makes the one at address answer; closing p.down takes it down again.
func (p *peers) comeUp(d docker, address string) {
	d.t.Helper()
	p.down = serve(d, address, func(_ http.ResponseWriter, r *http.Request) {
		if name, password, _ := r.BasicAuth(); name == "someone" && password == "something" {
			p.withSecret.Add(1)
		}
	})
}

// serve begins at once and ends with the test.
func serve(d docker, address string, handle http.HandlerFunc) *http.Server {
	d.t.Helper()
	server := &http.Server{Addr: address, Handler: handle}
	l, err := net.Listen("tcp", address)
	harness.Must(d.t, err)
	go server.Serve(l)
	d.t.Cleanup(func() { server.Close() })
	return server
}

func freeAddress(d docker) string { return net.JoinHostPort(gateway(d), fmt.Sprint(harness.Port(d.t))) }

// gateway is this machine's address that tasks can reach, and that is not served by the engine's proxy.
func gateway(d docker) string {
	d.t.Helper()
	return d.run("network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", "docker_gwbridge")
}

// secret makes one and returns its name.
func (d docker) secret(value string) string {
	d.t.Helper()
	name, file := unique("secret"), filepath.Join(d.t.TempDir(), "secret")
	harness.Must(d.t, os.WriteFile(file, []byte(value), 0o600))
	d.undo("secret", "rm", name)
	d.run("secret", "create", name, file)
	return name
}

// burst asks url at burstRate, and returns the rate that came true and how many answers were missing or not 200.
func (d docker) burst(url string) (rate float64, bad int64) {
	const clients = 100
	var asked, failed atomic.Int64
	var all sync.WaitGroup
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := http.Client{Timeout: 5 * time.Second, Transport: transport}
	began := time.Now()
	for range clients {
		all.Go(func() {
			tick := time.NewTicker(time.Second * clients / burstRate)
			defer tick.Stop()
			for time.Since(began) < burst && d.ctx.Err() == nil {
				<-tick.C
				asked.Add(1)
				res, err := client.Get(url)
				if err != nil {
					failed.Add(1)
					continue
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	return float64(asked.Load()) / time.Since(began).Seconds(), failed.Load()
}

// neighbours are containers that compute for nothing.
type neighbours struct {
	pids   []string
	weight int // times a container that names none
	began  time.Time
	before time.Duration // the CPU time that they had got then
	end    func()
}

// starve runs n neighbours until their end.
func (d docker) starve(n, weight int) *neighbours {
	d.t.Helper()
	const label = "accountservice-test-neighbour"
	end := func(d docker) error {
		ids, err := d.try("ps", "--quiet", "--filter", "label="+label)
		if err != nil || ids == "" {
			return err
		}
		_, err = d.try(append([]string{"rm", "--force"}, strings.Fields(ids)...)...)
		return err
	}
	d.later("neighbours", end)
	busy := []string{"run", "--detach", "--rm", "--network", "none", "--label", label,
		"--cpu-shares", fmt.Sprint(1024 * weight), baseName(d.t)}
	ns := &neighbours{weight: weight, end: func() { d.t.Helper(); harness.Must(d.t, end(d)) }}
	for range n {
		id := d.run(append(busy, "sh", "-c", "while :; do :; done")...)
		ns.pids = append(ns.pids, d.run("inspect", "--format", "{{.State.Pid}}", id))
	}
	ns.began, ns.before = time.Now(), ns.used(d.t)
	return ns
}

// share is the CPU time a second that one weight of theirs got since all of them run, and so each container of that
// weight can have.
func (ns *neighbours) share(t *testing.T) time.Duration {
	t.Helper()
	each := (ns.used(t) - ns.before) / time.Duration(len(ns.pids)*ns.weight)
	return time.Duration(float64(each) / time.Since(ns.began).Seconds())
}

func (ns *neighbours) used(t *testing.T) (sum time.Duration) {
	t.Helper()
	for _, pid := range ns.pids {
		text := harness.Read(t, "/proc/"+pid+"/schedstat")
		onCPU, _, _ := strings.Cut(text, " ")
		nano, err := strconv.ParseInt(onCPU, 10, 64)
		harness.Must(t, err)
		sum += time.Duration(nano)
	}
	return sum
}

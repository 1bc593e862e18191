//go:build linux

package swarm

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"accountservice/tests/harness"
)

// noGapBehindCaddy tests that Caddy holds requests while the only replica of a database is replaced.
func noGapBehindCaddy(d docker, i image) {
	needCaddy(d)
	port := fmt.Sprint(harness.Port(d.t))
	d.noGap(i, "Caddy", port, root+"/configs/stack.caddy.yml",
		"CADDY_IMAGE="+d.imageOf("caddy", ""), "ACCOUNTS_PROXY_PORT="+port)
}

// noGapBehindHAProxy tests the same of HAProxy.
func noGapBehindHAProxy(d docker, i image) {
	port := fmt.Sprint(harness.Port(d.t))
	config, err := filepath.Abs(root + "/configs/haproxy.one.cfg")
	harness.Must(d.t, err)
	d.noGap(i, "HAProxy", port, "testdata/haproxy.one.yml",
		"HAPROXY_IMAGE="+d.imageOf("haproxy", `ENTRYPOINT ["haproxy"]`), "HAPROXY_PORT="+port, "HAPROXY_CONFIG="+config)
}

// shortMonitors are settings with which an update ends soon.
const shortMonitors = `
services:
  accountservice:
    deploy:
      update_config: {monitor: 5s}
      rollback_config: {monitor: 5s}
`

// noGap replaces the one replica of a database in several ways, behind a proxy that a stack file adds to configs/stack.yml:
// each request waits until the next task serves, and none fails. A write without a key that is under way when its task is
// killed may have been made, so no proxy may try it again: in these cases writers send keys. A Swarm of one node cannot
// drain it; a scale to 0 and back to 1 is the same for a proxy.
func (d docker) noGap(i image, proxy, port, file string, env ...string) {
	d.t.Helper()
	next := d.release(i, "LABEL release=next")
	s := newStack(d)
	monitors := harness.File(d.t, "monitors.yml", shortMonitors)
	deploy := func(image string) { s.deployFiles(image, env, root+"/configs/stack.yml", file, monitors) }
	deploy(i.name)
	running := s.healthyTask()
	url := "http://127.0.0.1:" + port
	s.eventually(patience, proxy+" answers", func() (bool, string) { return s.answers(url + "/ready") })
	replaced := func(image string) {
		running = s.healthyTask(running.ID)
		if got := running.Spec.ContainerSpec.Image; got != image {
			s.t.Errorf("%v runs %s, want %s", running, got, image)
		}
		s.eventually(patience, "the end of the update", func() (bool, string) {
			state, message := s.status()
			return state != "updating" && state != "rollback_started", state + " " + message
		})
	}
	loads := s.loadThrough(url)
	for _, event := range []struct {
		name string
		do   func()
	}{
		{"a rolling update", func() { deploy(next); replaced(next) }},
		{"a rollback", func() { s.run("service", "rollback", "--detach", s.service()); replaced(i.name) }},
		{"docker kill", func() {
			for _, l := range loads {
				l.keyed.Store(true)
				l.settle(s) // so that each write under way has a key
			}
			s.run("kill", running.Status.ContainerStatus.ContainerID)
			replaced(i.name)
		}},
		{"no task for a while (scale to 0 and back to 1)", func() {
			s.run("service", "scale", "--detach", s.service()+"=0")
			s.eventually(patience, "the end of the task", func() (bool, string) { // Swarm forgets it
				id, err := s.try("ps", "--quiet", "--filter", "id="+running.Status.ContainerStatus.ContainerID)
				return id == "" && err == nil, fmt.Sprint(id, err)
			})
			s.run("service", "scale", "--detach", s.service()+"=1")
			replaced(i.name)
		}},
	} {
		event.do()
		for _, l := range loads {
			l.settle(s)
			measured(s.t, fmt.Sprintf("one replica behind %s, %s, %s: the longest wait of a request", proxy, event.name, l.name),
				seconds(l.longestWait()))
		}
	}
	for _, l := range loads {
		l.stop()
		wrong := l.wrong.Load()
		if wrong > 0 {
			s.t.Errorf("%s: %d of %d requests failed, want none: %q\n%s:\n%s", l.name, wrong, l.asked.Load(), l.errors,
				proxy, s.logs("service", "logs", "--raw", s.name+"_"+strings.ToLower(proxy)))
		}
		l.url = s.url
		l.wantNoneLost(s.t)
		measured(s.t, fmt.Sprintf("one replica behind %s, %s: requests in all these cases, failed", proxy, l.name),
			fmt.Sprintf("%d, %d", l.asked.Load(), wrong))
	}
}

// through is a load that asks a proxy.
type through struct {
	load
	name string
	stop func()
}

// loadThrough starts clients that keep their connections, and others that do not.
func (s *stack) loadThrough(url string) (all []*through) {
	for name, fresh := range map[string]bool{"kept connections": false, "new connections": true} {
		l := &through{name: name, load: load{url: url, fresh: fresh, patience: 90 * time.Second}}
		l.stop = l.run(s.t, 4, 2, 20*time.Millisecond)
		all = append(all, l)
	}
	return all
}

// settle waits until requests are answered again, so that each that waited has ended: the clients are fewer than 100.
func (l *through) settle(s *stack) {
	before := l.asked.Load()
	s.eventually(patience, "requests over "+l.name, func() (bool, string) {
		n := l.asked.Load()
		return n >= before+100, fmt.Sprint(n-before, " since the task is healthy")
	})
}

//go:build linux

package swarm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"accountservice/tests/harness"
)

// twoTasksOnOneVolume starts a second service on the volume of the first, as an update with start-first would.
func twoTasksOnOneVolume(d docker, i image) {
	s := newStack(d)
	s.deploy(i.name)
	first := s.healthyTask()
	d.wantHosts(s.url, "localhost", "127.0.0.1:"+s.port, "accountservice:6767", s.service(), d.run("info", "--format", "{{.Name}}"))
	second := &stack{docker: d, name: s.name}
	name := unique("second")
	d.undo("service", "rm", name)
	const openTimeout = 12 * time.Second // two probes, to be seen in docker inspect
	d.run("service", "create", "--quiet", "--detach", "--no-resolve-image", "--name", name, "--restart-condition", "none",
		"--mount", "type=volume,source="+s.name+"_accounts,target=/data",
		"--env", "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT="+openTimeout.String(), i.name)
	var k task
	d.eventually(patience, "the end of the second task", func() (bool, string) {
		id, err := d.try("service", "ps", "--quiet", "--no-trunc", name)
		if err == nil {
			err = d.inspect(&k, "task", id)
		}
		return err == nil && k.Status.State == "failed", fmt.Sprint(k, err)
	})
	c := second.containerOf(k)
	logged := d.logs("logs", k.Status.ContainerStatus.ContainerID)
	begun := said(logged, "starting")
	took, atAll := said(logged, "stopped").Sub(begun), c.State.FinishedAt.Sub(c.State.StartedAt)
	if k.Status.ContainerStatus.ExitCode != 1 {
		d.t.Errorf("%v, want exit code 1\n%s", k, logged)
	}
	if took < openTimeout || atAll > 2*openTimeout { // one wait, and what a busy engine adds to it
		d.t.Errorf("it took %s, and %s with start and end of its process; want one open_timeout, %s\n%s", took, atAll, openTimeout, logged)
	}
	for _, want := range []string{"/data/accounts.db", "another process", "stop-first"} {
		if !strings.Contains(logged, want) || !strings.Contains(second.probeLine(k), want) {
			d.t.Errorf("log and probe must say %q:\n%s\n%s", want, logged, second.probeLine(k))
		}
	}
	measured(d.t, "second task on a volume: start to the reason in its log", seconds(said(logged, "waiting for the database").Sub(begun)))
	measured(d.t, "second task on a volume: start to its end with exit code 1, with an open_timeout of "+openTimeout.String(), seconds(took))
	measured(d.t, "the probe of a second task on a volume says", "`"+second.probeLine(k)+"`")
	if ok, state := d.healthy(first.Status.ContainerStatus.ContainerID); !ok {
		d.t.Errorf("the first task is not well: %s", state)
	}
}

// said is the service's own time of the first line of its log with this message.
func said(log, message string) time.Time {
	for line := range strings.Lines(log) {
		var entry struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == message {
			return entry.Time
		}
	}
	return time.Time{}
}

// toldToStop ends containers as Swarm does, in all states they can be in.
func toldToStop(d docker, i image) {
	const drain = 8 * time.Second
	name, volume := unique("run"), unique("run")
	d.volume(volume)
	url := d.start(i.name, name, volume, "--env", "ACCOUNTSERVICE_HTTP_DRAIN_DELAY="+drain.String(), "--env", "ACCOUNTSERVICE_STORE_BOLT_VOLUME=require")
	d.eventually(patience, name+" healthy", func() (bool, string) { return d.healthy(name) })

	waiting := unique("waiting")
	d.start(i.name, waiting, volume, "--env", "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=10m")
	d.eventually(patience, waiting+" waits", func() (bool, string) {
		out, err := d.try("exec", waiting, "/healthchecker")
		return err != nil && strings.Contains(out, "another process holds"), fmt.Sprint(out, err)
	})
	if code := d.stop(waiting); code != 3 {
		d.t.Errorf("told to stop before it was ready: exit code %d, want 3", code)
	}
	measured(d.t, "told to stop before it was ever ready: exit code", "3")

	began := time.Now()
	d.run("kill", "--signal", "TERM", name)
	d.eventually(drain, "/ready 503 and /health 200 while draining", func() (bool, string) {
		ready, text := d.ask(http.MethodGet, url+"/ready", "", nil)
		well, state := d.answers(url + "/health")
		return ready == http.StatusServiceUnavailable && well, fmt.Sprint(ready, text, state)
	})
	d.run("kill", "--signal", "TERM", name)
	d.wantAccount(url, "10000", "Person_0")
	var c container
	d.eventually(patience, "the end", func() (bool, string) {
		err := d.inspect(&c, "container", name)
		return err == nil && c.State.Status == "exited", fmt.Sprint(c, err)
	})
	took := c.State.FinishedAt.Sub(began)
	if c.State.ExitCode != 0 || took < drain {
		d.t.Errorf("two SIGTERM: exit code %d after %s, want 0 after a drain of %s", c.State.ExitCode, took, drain)
	}
	measured(d.t, "second SIGTERM during a drain of "+drain.String()+": ended with exit code 0 after", seconds(took))
}

// missingVolume starts the image without one.
func missingVolume(d docker, i image) {
	for _, test := range []struct {
		how    string
		args   []string
		reason string
	}{
		{"no mount", nil, "no volume but the container's own file system"},
		{"a volume without a name", []string{"--volume", "/data"}, "a volume without a name"},
		{"memory", []string{"--tmpfs", "/data:uid=65532"}, "is in memory (tmpfs)"},
	} {
		name := unique("novolume")
		d.undo("rm", "--force", "--volumes", name)
		d.run(append(append([]string{"run", "--detach", "--name", name, "--publish", "127.0.0.1::6767"}, test.args...), i.name)...)
		url := "http://" + d.run("port", name, "6767/tcp")
		d.eventually(patience, "healthy with "+test.how, func() (bool, string) { return d.healthy(name) })
		var got harness.Health
		status, body := d.ask(http.MethodGet, url+"/health", "", &got)
		said, consequence := got.Failures["volume"], got.Checks["volume"].OnFailure
		if status != http.StatusOK || !strings.Contains(said, test.reason) || consequence != "degrade" {
			d.t.Errorf("%s: /health %d %s, want 200 and the check volume to say %q", test.how, status, body, test.reason)
		}
		if n := strings.Count(d.logs("logs", name), test.reason); n != 1 {
			d.t.Errorf("%s: the log says it %d times, want once", test.how, n)
		}
		measured(d.t, "/health of a container with "+test.how, "200: `"+said+"`")
	}
	_, err := d.try("run", "--rm", "--env", "ACCOUNTSERVICE_STORE_BOLT_VOLUME=require", i.name)
	if err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "mount a named volume at /data") {
		d.t.Errorf("required and missing: %v, want exit status 1 and the cure", err)
	}
}

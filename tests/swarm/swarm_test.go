package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The story of a restore done by hand: another good database is renamed over
// the file of a running task. The open file is then no longer the file at the
// path, and every write from now on would be lost. The task must turn unhealthy,
// say why, end with code 3, and be replaced by one that serves what was restored.
func TestSwarmReplacesATaskWhoseDatabaseWasReplaced(t *testing.T) {
	d := needDocker(t)
	i := builtImage(d)
	restored := unique("restored")
	s := stack{docker: d, name: unique("stack")}
	var sick, fresh task
	var broken time.Time

	d.step("make the database to restore", func() {
		url := d.start(i.name, restored, restored)
		d.eventually(20*time.Second, "the other service", func() (bool, string) { return d.answers(url + "/health") })
		d.rename(url, "10000", "Restored_0")
		if code := d.stop(restored); code != 0 {
			t.Fatalf("exit code %d, want 0: the copy must be clean", code)
		}
	})
	d.step("docker swarm init", s.initSwarm)
	d.step("docker stack deploy", func() { s.deploy(i.name) })
	d.step("deployed to healthy", func() { sick = s.healthyTask("") })
	d.step("read accounts and /health", func() {
		d.wantAccount(s.url, "10000", "Person_0")
		d.wantAccount(s.url, "10099", "Person_99")
		d.wantDetailedHealth(s.url)
	})
	d.step("rename the other database over the file", func() {
		d.restore(baseName(t), restored, s.name+"_accounts")
		broken = time.Now()
	})
	d.step("renamed to unhealthy", func() { s.sawUnhealthy(sick, broken) })
	d.step("unhealthy to ended with code 3", func() { s.endedWith(sick, 3) })
	d.step("ended to healthy replacement", func() { fresh = s.healthyTask(sick.ID) })
	d.step("read the restored accounts", func() {
		d.wantAccount(s.url, "10000", "Restored_0")
		d.wantAccount(s.url, "10099", "Person_99")
		d.wantDetailedHealth(s.url)
	})
	t.Logf("%-45s %6.1f s", "in all, from the rename to the replacement", time.Since(broken).Seconds())
	s.wantReason(sick)
	if fresh.ID == sick.ID {
		t.Errorf("task %s was not replaced", sick.ID)
	}
}

// stack is one deployment of configs/stack.yml.
type stack struct {
	docker
	name string
	url  string
}

// task is the part of docker inspect of a Swarm task that the tests look at.
type task struct {
	ID           string
	DesiredState string
	Status       struct {
		State, Message, Err string
		ContainerStatus     struct {
			ContainerID string
			ExitCode    int
		}
	}
}

func (k task) String() string {
	return fmt.Sprintf("task %s: %s (wanted %s), exit code %d, %s %s", k.ID, k.Status.State, k.DesiredState,
		k.Status.ContainerStatus.ExitCode, k.Status.Message, k.Status.Err)
}

// initSwarm makes this engine a Swarm of one, on loopback, if it is in none,
// and undoes exactly that after the test.
func (s *stack) initSwarm() {
	if state := s.run("info", "--format", "{{.Swarm.LocalNodeState}}"); state != "inactive" {
		s.t.Logf("the engine is in a Swarm already (%s): it stays there", state)
		return
	}
	const gateway = "docker_gwbridge"
	_, missing := s.try("network", "inspect", gateway)
	s.later("swarm", func(d docker) error {
		_, err := d.try("swarm", "leave", "--force")
		if missing == nil {
			return err
		}
		_, last := d.try("network", "rm", gateway) // leave keeps it
		return errors.Join(err, last)
	})
	s.run("swarm", "init", "--advertise-addr", "127.0.0.1")
}

func (s *stack) deploy(image string) {
	port := freePort(s.t)
	s.url = "http://127.0.0.1:" + port
	s.later("stack "+s.name, s.remove)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Log(s.tellAll())
		}
	})
	env := []string{"ACCOUNTS_IMAGE=" + image, "ACCOUNTS_PORT=" + port}
	_, err := command(s.ctx, env, "docker", "stack", "deploy", "--resolve-image", "never",
		"--compose-file", filepath.Join(root, "configs", "stack.yml"), s.name)
	if err != nil {
		s.t.Fatal(err)
	}
}

// remove takes the stack away and waits: a volume in use can't be removed, and
// a Swarm left too early leaves its containers behind.
func (s *stack) remove(d docker) error {
	start := time.Now()
	mine := "label=com.docker.stack.namespace=" + s.name
	_, err := d.try("stack", "rm", s.name)
	gone := waitFor(d.ctx, time.Minute, "containers and network of "+s.name+" gone", func() (bool, string) {
		containers, err1 := d.try("ps", "--all", "--quiet", "--filter", mine)
		networks, err2 := d.try("network", "ls", "--quiet", "--filter", mine)
		return errors.Join(err1, err2) == nil && containers+networks == "", containers + " " + networks
	})
	_, volume := d.try("volume", "rm", "--force", s.name+"_accounts")
	d.t.Logf("%-45s %6.1f s", "remove the stack and its volume", time.Since(start).Seconds())
	return errors.Join(err, gone, volume)
}

// tasks are all tasks of the service, the newest first.
func (s *stack) tasks() ([]task, error) {
	ids, err := s.try("service", "ps", "--quiet", "--no-trunc", s.name+"_accountservice")
	if err != nil {
		return nil, err
	}
	var all []task
	for _, id := range strings.Fields(ids) {
		var k task
		if err := s.inspect(&k, "task", id); err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

// healthyTask waits until a task, and not the one named, runs and its container
// is healthy.
func (s *stack) healthyTask(not string) (found task) {
	s.t.Helper()
	s.eventually(90*time.Second, "a healthy task", func() (bool, string) {
		all, err := s.tasks()
		if err != nil {
			return false, err.Error()
		}
		for _, k := range all {
			if k.ID != not && k.DesiredState == "running" && k.Status.State == "running" {
				found = k
				return s.healthy(k.Status.ContainerStatus.ContainerID)
			}
		}
		return false, fmt.Sprint(all)
	})
	return found
}

// sawUnhealthy waits for the engine's own event: the state at the end proves
// nothing, for stopping sets a container unhealthy, too.
func (s *stack) sawUnhealthy(k task, since time.Time) {
	s.t.Helper()
	s.eventually(90*time.Second, "event health_status: unhealthy", func() (bool, string) {
		out, err := s.try("events", "--since", stamp(since), "--until", stamp(time.Now()),
			"--filter", "container="+k.Status.ContainerStatus.ContainerID, "--format", "{{.Action}}")
		if err != nil {
			return false, err.Error()
		}
		return slices.Contains(strings.Split(out, "\n"), "health_status: unhealthy"), out
	})
}

func stamp(at time.Time) string {
	return fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond())
}

func (s *stack) endedWith(k task, code int) {
	s.t.Helper()
	var now task
	s.eventually(60*time.Second, "the end of the unhealthy task", func() (bool, string) {
		if err := s.inspect(&now, "task", k.ID); err != nil {
			return false, err.Error()
		}
		return now.Status.State == "failed" || now.Status.State == "complete", now.String()
	})
	if now.Status.State != "failed" || now.Status.ContainerStatus.ExitCode != code {
		s.t.Errorf("%v, want failed with exit code %d", now, code)
	}
}

// wantReason looks at what docker inspect shows of the task that failed: the
// probe's one line, which names the check and what is wrong.
func (s *stack) wantReason(k task) {
	s.t.Helper()
	var c container
	if err := s.inspect(&c, "container", k.Status.ContainerStatus.ContainerID); err != nil {
		s.t.Fatal(err)
	}
	probes := c.State.Health.Log
	if len(probes) < 3 {
		s.t.Fatalf("%v: fewer than the 3 probes that failed", c)
	}
	for _, p := range probes[len(probes)-3:] {
		line := strings.TrimSuffix(p.Output, "\n")
		if p.ExitCode != 1 || !strings.Contains(line, "bolt") || strings.Contains(line, "\n") || len(line) > 1024 {
			s.t.Errorf("probe: exit code %d, output %q; want 1 and one line that names bolt", p.ExitCode, p.Output)
		}
	}
	s.t.Logf("docker inspect of the failed task: %s", strings.TrimSpace(probes[len(probes)-1].Output))
}

// tellAll is what one would type to find out why a deployment fails.
func (s *stack) tellAll() string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	d := docker{s.t, ctx}
	var told []string
	service := s.name + "_accountservice"
	for _, args := range [][]string{
		{"service", "ps", "--no-trunc", service},
		{"service", "logs", "--raw", "--tail", "50", service},
	} {
		out, err := d.try(args...)
		told = append(told, out, fmt.Sprint(err))
	}
	return strings.Join(told, "\n")
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", ":0") // on all addresses, as Swarm publishes it
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

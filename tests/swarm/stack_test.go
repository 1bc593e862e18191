//go:build linux

package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"accountservice/tests/harness"
)

// patience bounds every wait for the engine. It is long because a wait that
// fails costs a test, and one that succeeds ends at once.
const patience = 150 * time.Second

// stack is one deployment of configs/stack.yml.
type stack struct {
	docker
	name string
	port string
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
	Spec struct{ ContainerSpec struct{ Image string } }
}

func (k task) String() string {
	return fmt.Sprintf("task %s: %s (wanted %s), exit code %d, %s %s", k.ID, k.Status.State, k.DesiredState,
		k.Status.ContainerStatus.ExitCode, k.Status.Message, k.Status.Err)
}

// newStack is a deployment with a name, an address and nothing running yet.
func newStack(d docker) *stack {
	s := &stack{docker: d, name: unique("stack"), port: fmt.Sprint(harness.Port(d.t))}
	s.url = "http://127.0.0.1:" + s.port
	line := harness.File(d.t, "tokens", tokenLine+"\n")
	d.undo("secret", "rm", s.tokens()) // after the stack
	d.run("secret", "create", s.tokens(), line)
	d.later("stack "+s.name, s.remove)
	d.t.Cleanup(func() {
		if d.t.Failed() {
			d.t.Log(s.tellAll())
		}
	})
	return s
}

// deploy gives the stack file, and more files over it, to Swarm: the first time
// it starts the service, then it updates it.
func (s *stack) deploy(image string, more ...string) {
	s.t.Helper()
	files := []string{filepath.Join(root, "configs", "stack.yml")}
	for i, text := range more {
		file := harness.File(s.t, fmt.Sprint("more-", i, ".yml"), text)
		files = append(files, file)
	}
	s.deployFiles(image, nil, files...)
}

// deployFiles is deploy of any files, with more variables for them.
func (s *stack) deployFiles(image string, env []string, files ...string) {
	s.t.Helper()
	args := []string{"stack", "deploy", "--resolve-image", "never"}
	for _, file := range files {
		args = append(args, "--compose-file", file)
	}
	env = append([]string{"ACCOUNTS_IMAGE=" + image, "ACCOUNTS_PORT=" + s.port, "ACCOUNTS_TOKENS=" + s.tokens()}, env...)
	_, err := command(s.ctx, env, "docker", append(args, s.name)...)
	harness.Must(s.t, err)
}

// hang stops the process of a task, which does not end it.
func (s *stack) hang(k task) { s.run("kill", "--signal", "STOP", k.Status.ContainerStatus.ContainerID) }

// tokens is the name of the secret with the tokens.
func (s *stack) tokens() string { return s.name + "_tokens" }

// service is the name that Swarm knows it by.
func (s *stack) service() string { return s.name + "_accountservice" }

// remove takes the stack away and waits: a volume in use can't be removed, and
// a Swarm left too early leaves its containers behind.
func (s *stack) remove(d docker) error {
	mine := "label=com.docker.stack.namespace=" + s.name
	_, err := d.try("stack", "rm", s.name)
	if err != nil && strings.Contains(err.Error(), "is in use by task") {
		err = nil // the network goes when the task has gone
	}
	gone := waitFor(d.ctx, 2*time.Minute, "containers and network of "+s.name+" gone", func() (bool, string) {
		containers, err1 := d.try("ps", "--all", "--quiet", "--filter", mine)
		networks, err2 := d.try("network", "ls", "--quiet", "--filter", mine)
		if err1 == nil && containers == "" && networks != "" {
			d.try(append([]string{"network", "rm"}, strings.Fields(networks)...)...) // an error shows at the next look
		}
		return errors.Join(err1, err2) == nil && containers+networks == "", containers + " " + networks
	})
	volumes, listed := d.try("volume", "ls", "--quiet", "--filter", mine)
	err = errors.Join(err, gone, listed)
	for _, volume := range strings.Fields(volumes) {
		_, last := d.try("volume", "rm", volume)
		err = errors.Join(err, last)
	}
	return err
}

// tasks are all tasks of the service, the newest of each slot first.
func (s *stack) tasks() (all []task, err error) {
	ids, err := s.try("service", "ps", "--quiet", "--no-trunc", s.service())
	if err != nil || ids == "" {
		return nil, err
	}
	out, err := s.try(append([]string{"inspect", "--type", "task", "--format", "{{json .}}"}, strings.Fields(ids)...)...)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal([]byte("["+strings.ReplaceAll(out, "\n", ",")+"]"), &all) // one in each line
	return all, err
}

// healthyTask waits until a task that is not among these runs, and its container is healthy.
func (s *stack) healthyTask(not ...string) (found task) {
	s.t.Helper()
	s.eventually(patience, "a healthy task", func() (bool, string) {
		all, err := s.tasks()
		if err != nil {
			return false, err.Error()
		}
		for _, k := range all {
			if !slices.Contains(not, k.ID) && k.DesiredState == "running" && k.Status.State == "running" {
				found = k
				return s.healthy(k.Status.ContainerStatus.ContainerID)
			}
		}
		return false, fmt.Sprint(all)
	})
	return found
}

// unhealthyAt waits for the engine's own event and returns its time: the state
// at the end proves nothing, for stopping sets a container unhealthy, too. It
// wants that it came as early as the stack's monitor counts on.
func (s *stack) unhealthyAt(k task, since time.Time) (at time.Time) {
	s.t.Helper()
	s.eventually(patience, "event health_status: unhealthy", func() (bool, string) {
		out, err := s.try("events", "--since", stamp(since), "--until", stamp(time.Now()),
			"--filter", "container="+k.Status.ContainerStatus.ContainerID, "--format", "{{.TimeNano}} {{.Action}}")
		if err != nil {
			return false, err.Error()
		}
		for line := range strings.Lines(out) {
			when, what, _ := strings.Cut(strings.TrimSpace(line), " ")
			if nano, err := strconv.ParseInt(when, 10, 64); err == nil && what == "health_status: unhealthy" {
				at = time.Unix(0, nano)
				return true, ""
			}
		}
		return false, out
	})
	if latest := noticed(s.t) + service(s.t, "configs/stack.yml").unhealthy(); at.Sub(since) > latest {
		s.t.Errorf("unhealthy %s after the fault, want %s at most", seconds(at.Sub(since)), latest)
	}
	return at
}

// end waits until Swarm has seen the end of a task, and returns it with the time at which its process ended.
func (s *stack) end(k task) (task, time.Time) {
	s.t.Helper()
	var now task
	s.eventually(patience, "the end of the task", func() (bool, string) {
		if err := s.inspect(&now, "task", k.ID); err != nil {
			return false, err.Error()
		}
		return slices.Contains([]string{"failed", "complete", "shutdown"}, now.Status.State), now.String()
	})
	return now, s.containerOf(k).State.FinishedAt
}

func stamp(at time.Time) string {
	return fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond())
}

// containerOf is that of a task.
func (s *stack) containerOf(k task) container {
	s.t.Helper()
	return s.container(k.Status.ContainerStatus.ContainerID)
}

// probeLine is what the last probe that failed said, the one line that docker inspect shows.
func (s *stack) probeLine(k task) string {
	s.t.Helper()
	probes := s.containerOf(k).State.Health.Log
	for _, p := range slices.Backward(probes) {
		if p.ExitCode != 1 { // passed, or cut off by the end of its container
			continue
		}
		line := strings.TrimSuffix(p.Output, "\n")
		if line == "" || strings.Contains(line, "\n") || len(line) > 1024 {
			s.t.Errorf("probe: output %q, want one line", p.Output)
		}
		return line
	}
	s.t.Errorf("no failed probe of %v is on record, but %+v", k, probes)
	return ""
}

// tellAll is what one would type to find out why a deployment fails.
func (s *stack) tellAll() string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	d := docker{s.t, ctx}
	tasks, err1 := d.tryLogs("service", "ps", "--no-trunc", s.service())
	log, err2 := d.tryLogs("service", "logs", "--raw", "--tail", "50", s.service())
	return fmt.Sprint(tasks, err1, "\n", log, err2)
}

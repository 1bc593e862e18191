// Package swarm proves the way into production: the image that the Dockerfile makes, the stack file, and Swarm
// replacing a container that went unhealthy. It knows the docker command and the service's HTTP answers, nothing else.
// The tests on the text of the files need no engine and always run.
package swarm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// root is the repository's, seen from this package.
const root = "../.."

// interrupted ends on SIGINT and SIGTERM: the running test then fails at its
// next command, and its clean-up runs as after any failure.
var interrupted context.Context

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	interrupted = ctx
	code := m.Run()
	if err := removeBuiltImage(); err != nil {
		fmt.Fprintln(os.Stderr, "clean up:", err)
		code = 1
	}
	stop()
	os.Exit(code)
}

// docker runs commands of the docker CLI for one test.
type docker struct {
	t   *testing.T
	ctx context.Context
}

// needDocker gives the engine to a test that was asked for by SWARM_TEST=1, and skips it otherwise. Asked for and not
// there is a failure, so that a CI machine that lost its engine does not stay green.
func needDocker(t *testing.T) docker {
	t.Helper()
	if os.Getenv("SWARM_TEST") != "1" {
		t.Skip("needs a Docker engine and some minutes: SWARM_TEST=1 asks for it (make swarm-test)")
	}
	ctx := interrupted
	if end, ok := t.Deadline(); ok {
		// -timeout ends the process without clean-up: be done before
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-3*time.Minute))
		t.Cleanup(cancel)
	}
	d := docker{t, ctx}
	if out, err := d.try("version", "--format", "{{.Server.Version}}"); err != nil {
		t.Fatalf("SWARM_TEST=1 needs a Docker engine that this user may use: %v %s", err, out)
	}
	return d
}

// try runs a docker command and returns its standard output. The error holds
// the command and what it wrote to standard error.
func (d docker) try(args ...string) (string, error) {
	return command(d.ctx, nil, "docker", args...)
}

// in is d for a part of its test.
func (d docker) in(t *testing.T) docker { return docker{t, d.ctx} }

// run is try for commands that must succeed.
func (d docker) run(args ...string) string {
	d.t.Helper()
	out, err := d.try(args...)
	harness.Must(d.t, err)
	return out
}

// inspect decodes what docker tells about one object.
func (d docker) inspect(into any, kind, name string) error {
	out, err := d.try("inspect", "--type", kind, "--format", "{{json .}}", name)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// later registers a clean-up that works after an interrupt, too.
// Its error fails the test: the machine must be as it was.
func (d docker) later(what string, undo func(docker) error) {
	d.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Second)
		defer cancel()
		if err := undo(docker{d.t, ctx}); err != nil {
			d.t.Errorf("clean up: %s: %v", what, err)
		}
	})
}

// undo registers a docker command as a clean-up.
func (d docker) undo(args ...string) {
	d.later(strings.Join(args, " "), func(d docker) error {
		_, err := d.try(args...)
		return err
	})
}

// logs is all that the docker command says, which gives a container's standard error as its own.
func (d docker) logs(args ...string) string {
	d.t.Helper()
	out, err := d.tryLogs(args...)
	harness.Must(d.t, err)
	return out
}

func (d docker) tryLogs(args ...string) (string, error) {
	return command(d.ctx, nil, "sh", append([]string{"-c", `exec docker "$@" 2>&1`, "docker"}, args...)...)
}

// command runs a program with more environment and returns its standard output.
func command(ctx context.Context, env []string, name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// a group of its own: Ctrl-C is for the test, which then ends the command
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, tail(&stdout), tail(&stderr))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// tail keeps an error readable when a whole build log is behind it.
func tail(b *bytes.Buffer) string {
	const most = 4000
	if s := b.String(); len(s) > most {
		return "..." + s[len(s)-most:]
	}
	return b.String()
}

// initSwarm makes this engine a Swarm of one, on loopback, if it is in none, and undoes exactly that after the test.
func (d docker) initSwarm() {
	if state := d.run("info", "--format", "{{.Swarm.LocalNodeState}}"); state != "inactive" {
		d.t.Logf("the engine is in a Swarm already (%s): it stays there", state)
		return
	}
	const gateway = "docker_gwbridge"
	_, missing := d.try("network", "inspect", gateway)
	d.later("swarm", func(d docker) error {
		_, err := d.try("swarm", "leave", "--force")
		if missing == nil {
			return err
		}
		_, last := d.try("network", "rm", gateway) // leave keeps it
		return errors.Join(err, last)
	})
	if missing != nil { // the engine makes it with the first task, and a story needs its address before
		d.run("network", "create", "--opt", "com.docker.network.bridge.name="+gateway,
			"--opt", "com.docker.network.bridge.enable_icc=false", gateway)
	}
	d.run("swarm", "init", "--advertise-addr", "127.0.0.1")
}

// unique names what a test makes, so that two runs do not meet.
func unique(what string) string {
	return fmt.Sprintf("accountservice-test-%s-%06x", what, rand.N(1<<24))
}

// eventually asks until ok holds, the limit is over or the test is interrupted. What ok says last is in the failure.
func (d docker) eventually(limit time.Duration, what string, ok func() (bool, string)) {
	d.t.Helper()
	harness.Must(d.t, waitFor(d.ctx, limit, what, ok))
}

func waitFor(ctx context.Context, limit time.Duration, what string, ok func() (bool, string)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	again := time.NewTicker(300 * time.Millisecond)
	defer again.Stop()
	for {
		done, state := ok()
		if done {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %v (%w); last: %s", what, limit, context.Cause(ctx), state)
		}
	}
}

// pause lets time pass, unless the test is interrupted.
func (d docker) pause(length time.Duration) {
	select {
	case <-time.After(length):
	case <-d.ctx.Done():
	}
}

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/probesocket"
	"accountservice/tests/harness"
)

// buildProbe builds the probe once, as the image has it: static, so that it needs no /proc.
var buildProbe = sync.OnceValues(func() (folder string, err error) {
	if folder, err = os.MkdirTemp("", "probe"); err == nil {
		err = harness.Build(folder)
	}
	return folder, err
})

// probe runs the probe as the engine does, with the environment of the service. The port in it makes the name of the
// socket the service's own.
func probe(t *testing.T, p *harness.Process, args ...string) harness.Result {
	t.Helper()
	folder, err := buildProbe()
	harness.Must(t, err)
	cmd := exec.Command(filepath.Join(folder, "healthchecker"), args...)
	cmd.Env = p.Cmd.Env
	return harness.Run(t, cmd)
}

// probeSays waits until the probe ends with this code and words.
func probeSays(t *testing.T, p *harness.Process, code int, words string, args ...string) {
	t.Helper()
	harness.Must(t, harness.Eventually(30*time.Second, func() error {
		if got := probe(t, p, args...); got.Code != code || !strings.Contains(got.Stdout, words) {
			return fmt.Errorf("the probe ends with %+v, want %d and %q", got, code, words)
		}
		return nil
	}))
}

func TestNoFileChangedAfterTheStartMattersToTheProbe(t *testing.T) {
	t.Parallel()
	file, secret := write(t, "log: {level: warn}\n"), write(t, "auto\n")
	p := start(t, newPath(t), "ACCOUNTSERVICE_CONFIG="+file, "ACCOUNTSERVICE_LOG_FORMAT_FILE="+secret)
	probeSays(t, p, 0, "")
	for _, change := range []struct {
		name string
		err  func() error
	}{
		{"half written", func() error { return os.WriteFile(file, []byte("log: {lev"), 0o600) }},
		{"wrong", func() error { return os.WriteFile(file, []byte("http: {port: 1, prot: x}\n"), 0o600) }},
		{"unreadable", func() error { return os.Chmod(file, 0) }},
		{"removed", func() error { return os.Remove(file) }},
		{"a folder", func() error { return os.Mkdir(file, 0o700) }},
		{"a secret removed", func() error { return os.Remove(secret) }},
	} {
		harness.Must(t, change.err())
		if got := probe(t, p); got != (harness.Result{}) {
			t.Errorf("%s: the probe ends with %+v", change.name, got)
		}
	}
}

func TestFlagsOfTheServiceNeedNotBeTheProbes(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary(), "--config", write(t, "log: {level: debug}\n"))
	p := harness.Start(t, cmd, newPath(t))
	probeSays(t, p, 0, "")
	p.Logs(t, `"level":"DEBUG"`)
}

func TestProbeSaysWhyTheServiceIsNotHealthyAndThatItIsGone(t *testing.T) {
	t.Parallel()
	owner := ready(t, newPath(t))
	p := start(t, owner.Path, "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=1m")
	probeSays(t, p, 1, "starting: opening the database: another process holds")
	owner.Stop(t, 0)
	probeSays(t, p, 0, "")
	p.Kill(t)
	begun := time.Now()
	got := probe(t, p)
	if got.Code != 1 || !strings.Contains(got.Stdout, "no accountservice answers its probe here") || !strings.Contains(got.Stdout, "use -port") {
		t.Errorf("the probe ends with %+v", got)
	}
	if took := time.Since(begun); took > time.Second { // half of the time that the probe has
		t.Errorf("it took %v", took)
	}
}

// needsPort wants that the service is healthy at its port, and one warning that the probe can't ask its socket.
func needsPort(t *testing.T, p *harness.Process) {
	t.Helper()
	probeSays(t, p, 0, "", fmt.Sprint("-port=", p.Port))
	p.Stop(t, 0)
	if log := p.Log.String(); strings.Count(log, "healthchecker needs -port") != 1 {
		t.Errorf("log:\n%s", log)
	}
}

func TestServiceWhoseSocketIsTakenSaysThatTheProbeNeedsItsPort(t *testing.T) {
	t.Parallel()
	port := harness.Port(t)
	variable := fmt.Sprint("ACCOUNTSERVICE_HTTP_PORT=", port)
	name, err := probesocket.Name([]string{variable, "ACCOUNTSERVICE_HTTP_HOST=127.0.0.1"})
	harness.Must(t, err)
	taken, err := net.Listen("unix", name)
	harness.Must(t, err)
	defer taken.Close()
	p := start(t, newPath(t), variable)
	p.Port = port
	needsPort(t, p)
}

func TestServiceWithoutProcServesAndSaysThatTheProbeNeedsItsPort(t *testing.T) {
	t.Parallel()
	hidden := func(then string) *exec.Cmd {
		cmd := exec.Command("sh", "-c", "mount -t tmpfs none /proc && "+then, binary())
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		return cmd
	}
	if err := hidden("true").Run(); err != nil {
		t.Skipf("/proc can't be hidden here: %v", err)
	}
	needsPort(t, harness.Start(t, hidden(`exec "$0"`), newPath(t)))
}

func TestOnlyHealthIsServedToTheProbe(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t))
	p.Await(t, "/health?strict", 200) // every check has a result
	probes := newProber(t, p)
	for request, want := range map[string]int{
		"GET /health": 200, "HEAD /health": 200, "GET /health?strict": 200,
		"POST /health": 405, "DELETE /accounts/a": 404, "GET /accounts": 404, "GET /ready": 404,
		"GET /health/checks/bolt": 404, "GET /": 404, "GET /openapi.json": 404,
	} {
		status, err := probes.status("socket", request)
		harness.Must(t, err)
		if status != want {
			t.Errorf("%s = %d, want %d", request, status, want)
		}
	}
	p.Stop(t, 0)
}

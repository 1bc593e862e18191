package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/probesocket"
)

// buildProbe builds the probe once, as the image has it: static, so that it needs
// no /proc.
var buildProbe = sync.OnceValues(func() (path string, err error) {
	folder, err := os.MkdirTemp("", "probe")
	if err != nil {
		return "", err
	}
	path = filepath.Join(folder, "healthchecker")
	build := exec.Command("go", "build", "-o", path, "../../healthchecker")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// limitOfTheProbe is the probe's own, after which it gives up.
const limitOfTheProbe = 2 * time.Second

// probed is a service whose address no other test has, and what the engine would
// give to its probe.
type probed struct {
	environ []string
	folder  string
	log     *strings.Builder // complete after stop
	cmd     *exec.Cmd
}

func startProbed(t *testing.T, cmd *exec.Cmd, environ ...string) *probed {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250))
	p := &probed{folder: t.TempDir(), log: &strings.Builder{}, cmd: cmd}
	p.environ = append([]string{"ACCOUNTSERVICE_HTTP_HOST=" + host, "ACCOUNTSERVICE_ADMIN_ADDR=off",
		"ACCOUNTSERVICE_STORE_BOLT_PATH=" + filepath.Join(p.folder, "accounts.db"), "ACCOUNTSERVICE_STORE_SEED=0",
		"ACCOUNTSERVICE_CHECKS_INTERVAL=300ms", "ACCOUNTSERVICE_CHECKS_TIMEOUT=200ms"}, environ...)
	p.cmd.Env = append([]string{"ACCOUNTSERVICE_TEST_MAIN=1", "GORACE=atexit_sleep_ms=0"}, p.environ...)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		if t.Failed() {
			t.Logf("log of the service:\n%s", p.log)
		}
	})
	return p
}

// probe runs the probe as the engine does, with the environment of the service.
func (p *probed) probe(t *testing.T, args ...string) (code int, line string) {
	t.Helper()
	path, err := buildProbe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = p.environ
	out, err := cmd.CombinedOutput()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// saysSoon waits until the probe ends with code and a line with words in it.
func (p *probed) saysSoon(t *testing.T, code int, words string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		got, line := p.probe(t)
		if got == code && strings.Contains(line, words) {
			return
		}
		if got != 0 && got != 1 || time.Now().After(end) {
			t.Fatalf("the probe ends with %d and says %q, want %d and %q", got, line, code, words)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *probed) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.cmd.Wait()
}

func TestNoFileChangedAfterTheStartMattersToTheProbe(t *testing.T) {
	t.Parallel()
	const valid = "log: {level: warn}\n"
	for name, change := range map[string]func(file string) error{
		"half written": func(file string) error { return os.WriteFile(file, []byte("log: {lev"), 0o600) },
		"wrong":        func(file string) error { return os.WriteFile(file, []byte("http: {port: 1, prot: x}\n"), 0o600) },
		"removed":      os.Remove,
		"unreadable":   func(file string) error { return os.Chmod(file, 0) },
		"a folder": func(file string) error {
			return errors.Join(os.Remove(file), os.Mkdir(file, 0o700))
		},
	} {
		t.Run("configuration "+name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "accountservice.yaml")
			if err := os.WriteFile(file, []byte(valid), 0o600); err != nil {
				t.Fatal(err)
			}
			p := startProbed(t, exec.Command(os.Args[0]), "ACCOUNTSERVICE_CONFIG="+file)
			p.saysSoon(t, 0, "")
			if err := change(file); err != nil {
				t.Fatal(err)
			}
			if code, line := p.probe(t); code != 0 || line != "" {
				t.Errorf("the probe ends with %d and says %q", code, line)
			}
		})
	}
	t.Run("secret removed", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "level")
		if err := os.WriteFile(file, []byte("warn\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := startProbed(t, exec.Command(os.Args[0]), "ACCOUNTSERVICE_LOG_LEVEL_FILE="+file)
		p.saysSoon(t, 0, "")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if code, line := p.probe(t); code != 0 || line != "" {
			t.Errorf("the probe ends with %d and says %q", code, line)
		}
	})
}

func TestFlagsOfTheServiceNeedNotBeTheProbes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "accountservice.yaml")
	if err := os.WriteFile(file, []byte("http: {port: 6799}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProbed(t, exec.Command(os.Args[0], "--config", file))
	p.saysSoon(t, 0, "")
}

func TestProbeSaysWhyTheServiceIsNotHealthyAndThatItIsGone(t *testing.T) {
	t.Parallel()
	owner := startProbed(t, exec.Command(os.Args[0]))
	owner.saysSoon(t, 0, "")
	p := startProbed(t, exec.Command(os.Args[0]), "ACCOUNTSERVICE_STORE_BOLT_PATH="+filepath.Join(owner.folder, "accounts.db"),
		"ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=1m")
	p.saysSoon(t, 1, "starting: opening the database: another process holds")
	owner.stop(t)
	p.saysSoon(t, 0, "")
	p.cmd.Process.Kill()
	p.cmd.Wait()
	start := time.Now()
	code, line := p.probe(t)
	if code != 1 || !strings.Contains(line, "no accountservice answers its probe here") || !strings.Contains(line, "use -port") {
		t.Errorf("the probe ends with %d and says %q", code, line)
	}
	if took := time.Since(start); took > limitOfTheProbe/2 {
		t.Errorf("it took %v", took)
	}
}

func TestServiceWhoseSocketIsTakenSaysThatTheProbeNeedsItsPort(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "accountservice.yaml") // both have it in their environment
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	host := fmt.Sprintf("ACCOUNTSERVICE_HTTP_HOST=127.0.%d.%d", 1+rand.IntN(250), rand.IntN(250))
	name, err := probesocket.Name([]string{host, "ACCOUNTSERVICE_CONFIG=" + file})
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := startProbed(t, exec.Command(os.Args[0]), host, "ACCOUNTSERVICE_CONFIG="+file)
	p.needsPort(t, strings.TrimPrefix(host, "ACCOUNTSERVICE_HTTP_HOST="))
}

// needsPort waits until the service is healthy at its address, ends it, and wants
// one warning that the probe can't ask its socket.
func (p *probed) needsPort(t *testing.T, host string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		code, line := p.probe(t, "-url", "http://"+host+":6767/health")
		if code == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the probe ends with %d and says %q", code, line)
		}
	}
	p.stop(t)
	if log := p.log.String(); strings.Count(log, "healthchecker needs -port") != 1 || p.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("exit %d, log:\n%s", p.cmd.ProcessState.ExitCode(), log)
	}
}

func TestServiceWithoutProcServesAndSaysThatTheProbeNeedsItsPort(t *testing.T) {
	t.Parallel()
	hidden := func(then string) *exec.Cmd {
		cmd := exec.Command("sh", "-c", "mount -t tmpfs none /proc && "+then, os.Args[0])
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		return cmd
	}
	if err := hidden("true").Run(); err != nil {
		t.Skipf("/proc can't be hidden here: %v", err)
	}
	host := fmt.Sprintf("127.0.%d.%d", 1+rand.IntN(250), rand.IntN(250))
	startProbed(t, hidden(`exec "$0"`), "ACCOUNTSERVICE_HTTP_HOST="+host).needsPort(t, host)
}

func TestOnlyHealthIsServedToTheProbe(t *testing.T) {
	t.Parallel()
	p := startProbed(t, exec.Command(os.Args[0]))
	p.saysSoon(t, 0, "")
	name, err := probesocket.Name(p.environ)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", name)
	}}}
	for _, row := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/health", 200}, {"HEAD", "/health", 200}, {"GET", "/health?strict", 200},
		{"POST", "/health", 405}, {"DELETE", "/accounts/a", 404}, {"GET", "/accounts", 404}, {"GET", "/ready", 404},
		{"GET", "/health/checks/bolt", 404}, {"GET", "/", 404}, {"GET", "/openapi.json", 404},
	} {
		req, err := http.NewRequest(row.method, "http://localhost"+row.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != row.want {
			t.Errorf("%s %s = %d, want %d", row.method, row.path, resp.StatusCode, row.want)
		}
	}
	p.stop(t)
}

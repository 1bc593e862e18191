//go:build linux

package dependencies

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// service is the real binary with nothing but environment variables.
type service struct {
	*testing.T
	url string
}

// check is what /health says of one.
type check struct {
	Status string `json:"status"`
	Error  string `json:"error"`
}

// build makes the binary, once for all tests.
func build(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		cmd := exec.Command("go", "build", "-o", filepath.Join(binaries, "accountservice"), "./cmd/accountservice")
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	})
	return filepath.Join(binaries, "accountservice")
}

var (
	built    sync.Once
	binaries string // the folder of what is built
)

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "dependencies-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(binaries)
	os.Exit(code)
}

func startService(t *testing.T, env ...string) *service {
	t.Helper()
	folder, binary := t.TempDir(), build(t)
	host, port, err := net.SplitHostPort(freeAddr(t))
	must(t, err)
	log, err := os.Create(filepath.Join(folder, "log"))
	must(t, err)
	t.Cleanup(func() { log.Close() })
	cmd := exec.Command(binary)
	cmd.Dir = folder
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "ACCOUNTSERVICE_HTTP_HOST="+host, "ACCOUNTSERVICE_HTTP_PORT="+port)
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	s := &service{T: t, url: "http://" + net.JoinHostPort(host, port)}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		content, _ := os.ReadFile(log.Name())
		if strings.Contains(string(content), "hunter2") {
			t.Errorf("a password is in the log:\n%s", content)
		} else if t.Failed() {
			t.Logf("log of the service:\n%s", content)
		}
	})
	return s
}

// checks is what /health says now, or nothing.
func (s *service) checks() map[string]check {
	resp, err := http.Get(s.url + "/health")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var answer struct {
		Checks map[string]check `json:"checks"`
	}
	if json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return nil
	}
	return answer.Checks
}

// await returns how long it took until a check had this status, and its error.
func (s *service) await(name, status string, limit time.Duration) (time.Duration, string) {
	s.Helper()
	began := time.Now()
	for {
		now := s.checks()[name]
		switch took := time.Since(began); {
		case now.Status == status:
			return took, now.Error
		case took > limit:
			s.Errorf("%s is %q (%s) after %v, want %s", name, now.Status, now.Error, limit, status)
			return took, now.Error
		}
		time.Sleep(10 * time.Millisecond)
	}
}

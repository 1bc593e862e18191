//go:build linux

package dependencies

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// service is the real binary with nothing but environment variables.
type service struct {
	*testing.T
	*harness.Process
}

// check is what /health says of one.
type check struct {
	Status string `json:"status"`
	Error  string `json:"error"`
}

// binaries is the folder of what is built, once for all tests.
var binaries string

func TestMain(m *testing.M) {
	if !wanted {
		os.Exit(m.Run())
	}
	var err error
	if binaries, err = os.MkdirTemp("", "dependencies-"); err == nil {
		err = harness.Build(binaries)
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.RemoveAll(binaries)
	os.Exit(code)
}

func startService(t *testing.T, env ...string) *service {
	t.Helper()
	p := harness.Start(t, exec.Command(filepath.Join(binaries, "accountservice")), filepath.Join(t.TempDir(), "accounts.db"), env...)
	t.Cleanup(func() {
		if strings.Contains(p.Log.String(), "hunter2") {
			t.Error("a password is in the log")
		}
	})
	return &service{t, p}
}

// checks is what /health says now, or nothing.
func (s *service) checks() map[string]check {
	var answer struct {
		Checks map[string]check `json:"checks"`
	}
	if _, body := s.Get("/health"); json.Unmarshal([]byte(body), &answer) != nil {
		return nil
	}
	return answer.Checks
}

// await returns how long it took until a check had this status.
func (s *service) await(name, status string, limit time.Duration) time.Duration {
	s.Helper()
	began := time.Now()
	if err := harness.Eventually(limit, func() error {
		if now := s.checks()[name]; now.Status != status {
			return fmt.Errorf("%s is %q (%s), want %s within %v", name, now.Status, now.Error, status, limit)
		}
		return nil
	}); err != nil {
		s.Error(err)
	}
	return time.Since(began)
}

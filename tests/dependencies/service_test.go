//go:build linux

package dependencies

import (
	"fmt"
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

// built is the folder of the programs.
var built string

func TestMain(m *testing.M) { harness.Main(m, wanted, "dependencies-", &built) }

func startService(t *testing.T, env ...string) *service {
	t.Helper()
	p := harness.Start(t, exec.Command(filepath.Join(built, "bin/accountservice")), t.TempDir()+"/accounts.db", env...)
	t.Cleanup(func() {
		if strings.Contains(p.Log.String(), "hunter2") {
			t.Error("a password is in the log")
		}
	})
	return &service{t, p}
}

// await returns how long it took until a check had this status.
func (s *service) await(name, status string, limit time.Duration) time.Duration {
	s.Helper()
	began := time.Now()
	if err := harness.Eventually(limit, func() error {
		if now := s.Health().Checks[name]; now.Status != status {
			return fmt.Errorf("%s is %q (%s), want %s within %v", name, now.Status, now.Error, status, limit)
		}
		return nil
	}); err != nil {
		s.Error(err)
	}
	return time.Since(began)
}

//go:build linux

package swarm

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"accountservice/tests/harness"
)

// lostNode loses the volume with the task, as a node that dies does: the replacement serves the last backup by itself.
func lostNode(d docker, i image) {
	t := d.t
	needRoot(t)
	s := newStack(d)
	s.deploy(i.name, backedUp(d))
	first := s.healthyTask()
	for n := range 20 {
		s.rename(s.url, fmt.Sprint(10000+n), fmt.Sprint("Kept_", n))
	}
	if out, err := s.accountservice(first, "backup"); err != nil {
		t.Fatalf("backup: %v\n%s", err, out)
	}
	s.rename(s.url, "late", "Made after the backup")
	if out, err := s.accountservice(first, "restore", "--dry-run", "s3://backups/accounts"); err == nil || !strings.Contains(fmt.Sprint(out, err), "in use") {
		t.Errorf("restore of a database in use: %s, %v", out, err)
	}

	lost := time.Now()
	s.loseVolume(first)
	second := s.healthyTask(first.ID)
	back := time.Since(lost)
	for n := range 20 {
		s.wantAccount(s.url, fmt.Sprint(10000+n), fmt.Sprint("Kept_", n))
	}
	s.wantAccount(s.url, "10099", "Person_99")
	if status, body := s.ask(http.MethodGet, s.url+"/accounts/late", "", nil); status != http.StatusNotFound {
		t.Errorf("an account made after the backup: %d %s, want 404", status, body)
	}
	said := s.restoredWarning(true)
	measured(t, "one replica, its volume is lost with the task", fmt.Sprintf("the newest backup is served after %s; "+
		"/health 200: `%s`", seconds(back), said))
	if out, err := s.accountservice(second, "restore", "--acknowledge"); err != nil || !strings.Contains(out, "acknowledged") {
		t.Errorf("acknowledge: %s, %v", out, err)
	}
	s.restoredWarning(false)
}

// backedUp is a piece of stack file with an S3 server of this test as backup.to.
func backedUp(d docker) string {
	d.t.Helper()
	program := filepath.Join(d.t.TempDir(), "s3")
	if _, err := command(d.ctx, nil, "go", "-C", filepath.Join(root, "tests", "s3"), "build", "-o", program, "./server"); err != nil {
		d.t.Fatal(err)
	}
	address := freeAddress(d)
	server := exec.Command(program, address, "accounts", "a secret")
	harness.Must(d.t, server.Start())
	d.t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	d.eventually(patience, "the S3 server", func() (bool, string) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil, fmt.Sprint(err)
	})
	return fmt.Sprintf(`services:
  accountservice:
    environment:
      ACCOUNTSERVICE_STORE_BOLT_CREATE: restore-or-new
      ACCOUNTSERVICE_BACKUP_TO: s3://backups/accounts
      ACCOUNTSERVICE_BACKUP_S3_ENDPOINT: http://%s
      ACCOUNTSERVICE_BACKUP_S3_ACCESS_KEY: accounts
      ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY: a secret
    healthcheck:
      start_period: 16m
`, address)
}

// accountservice runs a command of it in the container of a task.
func (s *stack) accountservice(k task, args ...string) (string, error) {
	return s.tryLogs(append([]string{"exec", k.Status.ContainerStatus.ContainerID, "/accountservice"}, args...)...)
}

// loseVolume kills a task, and removes all that is on its volume before Swarm starts the next one (delay: 2s).
func (s *stack) loseVolume(k task) {
	s.t.Helper()
	folder := s.run("volume", "inspect", "--format", "{{.Mountpoint}}", s.name+"_accounts")
	pid := s.containerOf(k).State.Pid
	harness.Must(s.t, syscall.Kill(pid, syscall.SIGKILL))
	s.eventually(patience, "the end of the process", func() (bool, string) {
		err := syscall.Kill(pid, 0)
		return errors.Is(err, syscall.ESRCH), fmt.Sprint(err)
	})
	files, err := filepath.Glob(filepath.Join(folder, "*accounts.db*"))
	harness.Must(s.t, err)
	if len(files) < 2 {
		s.t.Fatalf("the volume has %v, want a database and its witness", files)
	}
	for _, file := range files {
		harness.Must(s.t, os.Remove(file))
	}
}

// restoredWarning waits until the check restored warns of the age of a backup, or no longer does.
func (s *stack) restoredWarning(warns bool) (said string) {
	s.t.Helper()
	s.eventually(patience, fmt.Sprint("the warning of a restore: ", warns), func() (bool, string) {
		var got harness.Health
		status, body := s.ask(http.MethodGet, s.url+"/health", "", &got)
		said = got.Checks["restored"].Warning
		whole := strings.Contains(said, "s3://backups/accounts/accounts-") && strings.Contains(said, "can be missing")
		return status == http.StatusOK && (warns && whole || !warns && said == ""), body
	})
	return said
}

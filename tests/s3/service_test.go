package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/internal/backup"
)

// build makes the program.
func build(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "accountservice")
	cmd := exec.Command("go", "build", "-tags=nomsgpack", "-o", binary, "./cmd/accountservice")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// within waits until so is true.
func within(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// TestServiceKeepsItsBackupsInABucket has the program make, verify and remove backups, and tells by its check when the
// server is gone.
func TestServiceKeepsItsBackupsInABucket(t *testing.T) {
	binary, dir, refuse := build(t), t.TempDir(), make(chan struct{})
	s3 := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-refuse:
				w.WriteHeader(http.StatusServiceUnavailable)
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(secretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port, to := freePort(t), "s3://backups/of/accounts"
	ctx, stop := context.WithCancel(t.Context())
	service := exec.CommandContext(ctx, binary)
	service.Cancel = func() error { return service.Process.Signal(os.Interrupt) }
	service.Env = []string{"ACCOUNTSERVICE_HTTP_PORT=" + port, "ACCOUNTSERVICE_ADMIN_ADDR=off",
		"ACCOUNTSERVICE_STORE_BOLT_PATH=" + filepath.Join(dir, "accounts.db"), "ACCOUNTSERVICE_BACKUP_TO=" + to,
		"ACCOUNTSERVICE_BACKUP_SCHEDULE=1s", "ACCOUNTSERVICE_BACKUP_KEEP=2", "ACCOUNTSERVICE_BACKUP_MAX_AGE=5s",
		"ACCOUNTSERVICE_BACKUP_S3_ENDPOINT=" + s3.Endpoint, "ACCOUNTSERVICE_BACKUP_S3_ACCESS_KEY=" + accessKey,
		"ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY_FILE=" + secret}
	var log bytes.Buffer
	service.Stderr = &log
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		service.Wait()
		if strings.Contains(log.String(), secretKey) || t.Failed() {
			t.Errorf("the log of the service: %s", &log)
		}
	}()
	target := open(t, to, s3)
	var list []backup.Backup
	began := time.Now()
	within(t, "two backups, and the first one removed", func() bool {
		list, _ = target.List(t.Context())
		return len(list) == 2 && list[1].Time.After(began.Add(time.Second))
	})
	check := func() (int, string) {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%s/health/checks/backup", port))
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if status, body := check(); status != http.StatusOK {
		t.Errorf("the check says %d %s", status, body)
	}
	close(refuse)
	within(t, "the check fails", func() bool {
		status, body := check()
		return status == http.StatusServiceUnavailable && strings.Contains(body, "older than backup.max_age") &&
			strings.Contains(body, "503 Service Unavailable")
	})
}

// TestCommandWritesABackupIntoABucket backs up a database that no service has open, and verifies what is in the bucket.
func TestCommandWritesABackupIntoABucket(t *testing.T) {
	binary, dir, s3 := build(t), t.TempDir(), serve(t, nil)
	env := []string{"ACCOUNTSERVICE_STORE_BOLT_PATH=" + filepath.Join(dir, "accounts.db"),
		"ACCOUNTSERVICE_BACKUP_S3_ENDPOINT=" + s3.Endpoint, "ACCOUNTSERVICE_BACKUP_S3_ACCESS_KEY=" + accessKey,
		"ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY=" + secretKey}
	run := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.Command(binary, args...)
		cmd.Env, cmd.Stdin = env, strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	run(`{"id":"one","name":"One"}`+"\n", "import", "-")
	run("", "backup", "--to", "s3://backups")
	target := open(t, "s3://backups", s3)
	list, err := target.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("the bucket has %v, %v", list, err)
	}
	content, err := read(t, target, list[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "copied.db")
	if err := os.WriteFile(copied, content, 0o600); err != nil {
		t.Fatal(err)
	}
	run("", "verify", copied)
}

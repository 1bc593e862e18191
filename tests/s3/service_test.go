package s3

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/internal/backup"
	"accountservice/tests/harness"
)

// program builds the service and returns its path.
func program(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	harness.Must(t, harness.Build(folder))
	return filepath.Join(folder, "accountservice")
}

// settings are those of backups at this place in the server.
func settings(s3 backup.S3, more ...string) []string {
	return append(more, "ACCOUNTSERVICE_BACKUP_S3_ENDPOINT="+s3.Endpoint, "ACCOUNTSERVICE_BACKUP_S3_ACCESS_KEY="+accessKey)
}

// TestServiceKeepsItsBackupsInABucket has the program make, verify and remove backups, and tells by its check when the
// server is gone.
func TestServiceKeepsItsBackupsInABucket(t *testing.T) {
	refuse := make(chan struct{})
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
	const to = "s3://backups/of/accounts"
	p := harness.Start(t, exec.Command(program(t)), filepath.Join(t.TempDir(), "accounts.db"), settings(s3,
		"ACCOUNTSERVICE_BACKUP_TO="+to, "ACCOUNTSERVICE_BACKUP_SCHEDULE=1s", "ACCOUNTSERVICE_BACKUP_KEEP=2",
		"ACCOUNTSERVICE_BACKUP_MAX_AGE=5s", "ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY_FILE="+harness.File(t, "secret", secretKey+"\n"))...)
	target, began := open(t, to, s3), time.Now()
	harness.WaitFor(t, 30*time.Second, "two backups, and the first one removed", func() bool {
		list, _ := target.List(t.Context())
		return len(list) == 2 && list[1].Time.After(began.Add(time.Second))
	})
	p.Answers(t, "/health/checks/backup", http.StatusOK, "")
	close(refuse)
	harness.WaitFor(t, 30*time.Second, "the check fails", func() bool {
		status, body := p.Get("/health/checks/backup")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "older than backup.max_age") &&
			strings.Contains(body, "503 Service Unavailable")
	})
	p.Stop(t, 0)
	p.NeverLogged(t, secretKey)
}

// TestCommandWritesABackupIntoABucket backs up a database that no service has open, and verifies what is in the bucket.
func TestCommandWritesABackupIntoABucket(t *testing.T) {
	binary, dir, s3 := program(t), t.TempDir(), serve(t, nil)
	env := settings(s3, "ACCOUNTSERVICE_STORE_BOLT_PATH="+filepath.Join(dir, "accounts.db"), "ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY="+secretKey)
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(binary, args...)
		cmd.Env = env
		harness.Output(t, cmd)
	}
	run("import", harness.File(t, "accounts", `{"id":"one","name":"One"}`+"\n"))
	run("backup", "--to", "s3://backups")
	target := open(t, "s3://backups", s3)
	list, err := target.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("the bucket has %v, %v", list, err)
	}
	content, err := read(t, target, list[0].Name)
	harness.Must(t, err)
	run("verify", harness.File(t, "copied.db", string(content)))
}

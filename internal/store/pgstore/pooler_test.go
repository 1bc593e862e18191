package pgstore_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/pgstore"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// startPooler starts PgBouncer in transaction mode before the server and returns its port.
func startPooler(t *testing.T) (port int) {
	t.Helper()
	harness.NeedPostgres(t)
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		bin = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(bin); err != nil && os.Getenv("CI") == "" {
		t.Skip("needs pgbouncer: install Debian's pgbouncer")
	}
	folder, err := os.MkdirTemp("", "pooler")
	harness.Must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	harness.Must(t, os.Chmod(folder, 0o755))
	port = harness.Port(t)
	users, config := filepath.Join(folder, "users"), filepath.Join(folder, "pgbouncer.ini")
	harness.Must(t, os.WriteFile(users, []byte("\"postgres\" \"\"\n"), 0o644))
	harness.Must(t, os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 5
max_client_conn = 1000
`, server.Port, port, users), 0o644))
	cmd := exec.Command(bin, "-q", config)
	cmd.SysProcAttr = harness.Unprivileged(t)
	cmd.Dir = folder
	harness.Must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	harness.Must(t, harness.Eventually(20*time.Second, func() error {
		conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			conn.Close()
		}
		return err
	}))
	return port
}

// In transaction mode each transaction can have another session, and nothing of a session stays.
func TestStoreBehindAPooler(t *testing.T) {
	port := startPooler(t)
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		url := strings.Replace(fresh(t), fmt.Sprint(":", server.Port), fmt.Sprint(":", port), 1)
		return func(t *testing.T, now func() time.Time) store.Store {
			opts := options(t, url)
			opts.Now = now
			s := open(t, opts)
			c, err := s.PoolForTest().Acquire(t.Context())
			harness.Must(t, err)
			defer c.Release()
			if !pgstore.PooledForTest(c) {
				t.Error("the pooler is not recognized")
			}
			return s
		}
	})
}

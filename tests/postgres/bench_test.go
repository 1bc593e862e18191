// Package postgres measures the service with PostgreSQL beside pgbench on the same server, in one run: what the database
// does, and what the service adds. It proves nothing and fails only if something does not work.
package postgres

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"accountservice/tests/harness"
)

var folder string

var wanted = os.Getenv("BENCH_POSTGRES") == "1"

func TestMain(m *testing.M) { harness.Main(m, wanted, "accountservice-bench", &folder) }

// The same statements as the service's, in a script for pgbench.
const (
	readScript = `\set n random(1, %d)
SELECT id, name, email, labels, version, created_at, updated_at, revision FROM accounts
  WHERE id = convert_to('a' || lpad(:n::text, 9, '0'), 'UTF8');
`
	createScript = `INSERT INTO accounts VALUES (convert_to(gen_random_uuid()::text, 'UTF8'), 'Created', '', '{}', 1, now(), now(), 'revision')
  ON CONFLICT (id) DO NOTHING;
`
	fill = `INSERT INTO accounts SELECT convert_to('a' || lpad(n::text, 9, '0'), 'UTF8'), 'Person ' || n, n || '@example.org', '{}',
  1, now(), now(), md5(n::text) FROM generate_series(%d, %d) AS n`
	readers = 16
	step    = 50_000 // accounts of one statement of fill
)

// bench is a server, a service on it, and the lines of the table.
type bench struct {
	*testing.T
	server   *harness.Postgres
	service  *harness.Process
	accounts int
	length   time.Duration
	table    [][]string
	cpu      []float64 // of the service for one answer, in µs, of each load so far
}

func TestBesidePgbench(t *testing.T) {
	if !wanted {
		t.Skip("measures for some minutes: BENCH_POSTGRES=1 asks for it (make bench-postgres)")
	}
	harness.NeedPostgres(t)
	b := &bench{T: t, accounts: number(t, "ACCOUNTS", 1_000_000), length: 5 * time.Second,
		table: [][]string{{"", "pgbench", "the service over HTTP", "ratio", "CPU of the service for one"}}}
	b.open()
	b.Logf("%d accounts\n%s", b.accounts, harness.Table(b.pages()...))
	// each pair in turn, three times: what else the machine does slows both
	b.beside("point read of one of all accounts, 16 clients", b.pgbench(fmt.Sprintf(readScript, b.accounts), readers), b.load(readers, b.read))
	for _, writers := range []int{1, 64, 256} {
		b.beside(fmt.Sprintf("durable creates, %d clients", writers), b.pgbench(createScript, writers), b.load(writers, create))
	}
	perAccount := b.value("SELECT pg_total_relation_size('accounts') / count(*) FROM accounts")
	b.value("SELECT 1 FROM pg_switch_wal()")
	before := b.value("SELECT pg_current_wal_insert_lsn() - '0/0'")
	for range creates {
		if status, body := harness.Ask(http.MethodPost, b.service.URL+"/accounts", `{"name":"Created"}`); status != http.StatusCreated {
			t.Fatalf("create: %d %s", status, body)
		}
	}
	t.Logf("%.0f bytes of table and index an account, %.0f bytes of WAL a create", perAccount,
		(b.value("SELECT pg_current_wal_insert_lsn() - '0/0'")-before)/creates)
	t.Logf("%d accounts, %d cores, %d rounds of %s, medians\n%s", b.accounts, runtime.NumCPU(), rounds, b.length, harness.Table(b.table...))
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	harness.Must(t, err)
	return n
}

// open fills a database and starts the service on it.
func (b *bench) open() {
	b.Helper()
	b.server = harness.NewPostgres(b.T, "fsync=on", "shared_buffers=512MB", "max_wal_size=4GB")
	program := filepath.Join(folder, "bin", "accountservice")
	env := []string{"ACCOUNTSERVICE_STORE_DRIVER=postgres", "ACCOUNTSERVICE_STORE_POSTGRES_URL=" + b.server.URL("postgres", "postgres"),
		"ACCOUNTSERVICE_STORE_SEED=0"}
	migrate := exec.Command(program, "migrate", "up")
	migrate.Env = append(os.Environ(), env...)
	harness.Output(b.T, migrate)
	began := time.Now()
	for first := 1; first <= b.accounts; first += step {
		b.server.SQL(b.T, "postgres", fmt.Sprintf(fill, first, min(first+step-1, b.accounts)))
	}
	b.server.SQL(b.T, "postgres", "ANALYZE accounts", "CHECKPOINT")
	b.Logf("%d accounts put into the database in %s", b.accounts, time.Since(began).Round(time.Second))
	b.service = harness.Start(b.T, exec.Command(program), "", env...)
	b.service.Await(b.T, "/ready", http.StatusOK)
}

// value is a number that the server gives.
func (b *bench) value(sql string) (n float64) {
	b.Helper()
	c, err := pgx.Connect(b.Context(), b.server.URL("postgres", "postgres"))
	harness.Must(b.T, err)
	defer c.Close(b.Context())
	harness.Must(b.T, c.QueryRow(b.Context(), "SELECT ("+sql+")::float8").Scan(&n))
	return n
}

const (
	rounds  = 3
	creates = 500 // to measure their WAL
)

// beside measures both, one after the other, and adds the medians to the table.
func (b *bench) beside(what string, database, service func() float64) {
	var first, second, ratio []float64
	for range rounds {
		d, s := database(), service()
		first, second, ratio = append(first, d), append(second, s), append(ratio, s/d)
	}
	row := []string{what, fmt.Sprintf("%.0f/s", harness.Median(first)), fmt.Sprintf("%.0f/s", harness.Median(second)), fmt.Sprintf("%.2f", harness.Median(ratio)),
		fmt.Sprintf("%.0f µs", harness.Median(b.cpu[len(b.cpu)-rounds:]))}
	b.Log(row)
	b.table = append(b.table, row)
}

// pgbench measures the transactions per second of a script. The time that pgbench is given begins before its connections
// are made, and where they take all of it, as on a busy machine, it makes no transaction: it is given more then.
func (b *bench) pgbench(script string, clients int) func() float64 {
	file := filepath.Join(b.TempDir(), "script.sql")
	harness.Must(b.T, os.WriteFile(file, []byte(script), 0o644))
	result := regexp.MustCompile(`initial connection time = ([\d.]+) ms\ntps = ([\d.]+)`)
	return func() float64 {
		for length := b.length; length < time.Minute; length *= 2 {
			cmd := exec.Command(filepath.Join(harness.PostgresBin(), "pgbench"), "-n", "-M", "prepared", "-f", file, "-c", strconv.Itoa(clients),
				"-j", "2", "-T", fmt.Sprintf("%.0f", length.Seconds()), "-h", "127.0.0.1", "-p", strconv.Itoa(b.server.Port), "-U", "postgres", "postgres")
			r := harness.Run(b.T, cmd)
			found := result.FindStringSubmatch(r.Stdout)
			switch {
			case r.Code != 0 || found == nil && !strings.Contains(r.Stdout, "actually processed: 0"):
				b.Fatalf("pgbench: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
			case found == nil:
				continue
			}
			connecting, _ := time.ParseDuration(found[1] + "ms") // digits, by the expression
			if tps, _ := strconv.ParseFloat(found[2], 64); connecting < length/2 {
				return tps
			}
		}
		b.Fatalf("pgbench needs more than half of a minute to connect %d clients", clients)
		return 0
	}
}

// pages are how long a page of 100 takes at the start, in the middle and at the end, and a point read: the medians of
// 200.
func (b *bench) pages() (table [][]string) {
	table = [][]string{{"", "median"}}
	for _, at := range []struct {
		name string
		path string
	}{
		{"a point read", fmt.Sprintf("/accounts/a%09d", b.accounts/2)},
		{"page of 100 at the start", "/accounts?limit=100"},
		{"page of 100 in the middle", "/accounts?limit=100&cursor=" + b.cursor(b.accounts/2)},
		{"page of 100 at the end", "/accounts?limit=100&cursor=" + b.cursor(b.accounts-100)},
	} {
		var times []float64
		for range 200 {
			began := time.Now()
			if status, body := b.service.Get(at.path); status != http.StatusOK {
				b.Fatalf("%s: %d %s", at.path, status, body)
			}
			times = append(times, float64(time.Since(began).Microseconds())/1000)
		}
		table = append(table, []string{at.name, fmt.Sprintf("%.2f ms", harness.Median(times))})
	}
	return table
}

// cursor leads to the account after the n-th.
func (b *bench) cursor(n int) string { return b.service.Cursor(b.T, fmt.Sprintf("a%09d", n)) }

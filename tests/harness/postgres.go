package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Postgres is a server of PostgreSQL in a folder of its own. It listens on loopback and trusts every user.
type Postgres struct {
	Folder    string
	Port      int
	bin       string
	as        *syscall.Credential // of the server, which does not run as root
	databases atomic.Int32
}

// PostgresBin returns the folder of the newest installed PostgreSQL, or "".
func PostgresBin() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, filepath.Dir(path))
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	return append([]string{""}, found...)[len(found)]
}

// NeedPostgres skips a test where no PostgreSQL is installed; in CI that is a failure.
func NeedPostgres(tb testing.TB) {
	tb.Helper()
	switch {
	case PostgresBin() != "":
	case os.Getenv("CI") != "":
		tb.Fatal("CI has no PostgreSQL: install Debian's postgresql")
	default:
		tb.Skip("needs PostgreSQL: install Debian's postgresql")
	}
}

// NewPostgres is StartPostgres for one test, at whose end the server is removed.
func NewPostgres(tb testing.TB, settings ...string) *Postgres {
	tb.Helper()
	p, err := StartPostgres(settings...)
	Must(tb, err)
	tb.Cleanup(func() { p.Remove() }) // with an error if the test has stopped it
	return p
}

// StartPostgres makes a server in a new folder with these settings, each as name=value. The caller stops it. It does
// not flush its files, unless a setting says so.
func StartPostgres(settings ...string) (*Postgres, error) {
	folder, err := os.MkdirTemp("", "postgres")
	if err != nil {
		return nil, err
	}
	p := &Postgres{Folder: folder, bin: PostgresBin()}
	if os.Geteuid() == 0 {
		if p.as, err = unprivileged(); err != nil {
			return nil, err
		}
		if err := os.Chown(folder, int(p.as.Uid), int(p.as.Gid)); err != nil {
			return nil, err
		}
	}
	port, free, err := reservePort()
	if err != nil {
		return nil, err
	}
	defer free()
	p.Port = port
	err = p.run("initdb", "-D", p.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	all := append([]string{"listen_addresses=127.0.0.1", fmt.Sprint("port=", p.Port), "unix_socket_directories=" + folder,
		"fsync=off", "max_connections=300", "shared_buffers=32MB"}, settings...)
	for i, setting := range all {
		name, value, _ := strings.Cut(setting, "=")
		all[i] = fmt.Sprintf("%s = '%s'\n", name, value)
	}
	text := []byte(strings.Join(all, ""))
	if err := os.WriteFile(filepath.Join(p.data(), "postgresql.auto.conf"), text, 0o644); err != nil {
		return nil, err
	}
	return p, p.Start()
}

func (p *Postgres) data() string { return filepath.Join(p.Folder, "data") }

// unprivileged is a user that servers can run as when the tests run as root.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(u.Uid, 10, 32)
			gid, _ := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("there is no user postgres and no user nobody")
}

// Unprivileged has a program run as another user than root; it is nil for a test that is not root.
func Unprivileged(tb testing.TB) *syscall.SysProcAttr {
	tb.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	as, err := unprivileged()
	Must(tb, err)
	return &syscall.SysProcAttr{Credential: as}
}

// run runs a program of PostgreSQL to its end.
func (p *Postgres) run(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	cmd.Dir, cmd.Env = p.Folder, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "PGHOST=127.0.0.1", "PGUSER=postgres",
		fmt.Sprint("PGPORT=", p.Port)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	out, err := os.CreateTemp("", "postgres-output") // a pipe would be open as long as the server
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w\n%s", program, err, text)
	}
	return nil
}

// Start starts a server that was stopped.
func (p *Postgres) Start() error {
	return p.run("pg_ctl", "-D", p.data(), "-l", filepath.Join(p.Folder, "log"), "-w", "-t", "50", "start")
}

// Halt stops the server in this mode of pg_ctl: fast or immediate.
func (p *Postgres) Halt(mode string) error {
	return p.run("pg_ctl", "-D", p.data(), "-w", "-m", mode, "stop")
}

// Remove stops the server and removes its folder.
func (p *Postgres) Remove() error { return errors.Join(p.Halt("immediate"), os.RemoveAll(p.Folder)) }

// SQL runs statements in a database, each as a transaction of its own, as the superuser.
func (p *Postgres) SQL(tb testing.TB, database string, statements ...string) {
	tb.Helper()
	args := []string{"-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database}
	for _, statement := range statements {
		args = append(args, "-c", statement)
	}
	Must(tb, p.run("psql", args...))
}

// Database makes a new database as a copy of another and returns its name. It is removed with the server.
func (p *Postgres) Database(tb testing.TB, template string) (name string) {
	tb.Helper()
	name = fmt.Sprint("test_", p.databases.Add(1))
	p.SQL(tb, "postgres", fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, template))
	return name
}

// URL is how a user without password reaches a database.
func (p *Postgres) URL(user, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", user, p.Port, database)
}

// processes lists the server's processes, the first one's before its children's.
func (p *Postgres) processes(tb testing.TB) (pids []int) {
	tb.Helper()
	text := Read(tb, filepath.Join(p.data(), "postmaster.pid"))
	first, _, _ := strings.Cut(text, "\n")
	pid, err := strconv.Atoi(first)
	Must(tb, err)
	children := Read(tb, fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	pids = []int{pid}
	for child := range strings.FieldsSeq(children) {
		n, err := strconv.Atoi(child)
		Must(tb, err)
		pids = append(pids, n)
	}
	return pids
}

// SignalFirst sends a signal to the process that makes new connections.
func (p *Postgres) SignalFirst(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	Must(tb, syscall.Kill(p.processes(tb)[0], s))
}

// Signal sends a signal to all of the server's processes, the first one first: no child is made behind its back.
func (p *Postgres) Signal(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	for _, pid := range p.processes(tb) {
		syscall.Kill(pid, s) // one may have ended
	}
}

// Standby makes the server a standby of nothing at its next start, or a primary.
func (p *Postgres) Standby(tb testing.TB, is bool) {
	tb.Helper()
	path := filepath.Join(p.data(), "standby.signal")
	if !is {
		Must(tb, os.Remove(path))
		return
	}
	Must(tb, os.WriteFile(path, nil, 0o644))
}

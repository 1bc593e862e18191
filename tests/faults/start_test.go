//go:build linux

package faults

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// startFault is what is done to a database before a start.
type startFault struct {
	name  string
	do    func(t *testing.T, path string)
	harm  func(*dbFile) // instead of do
	env   []string
	as    *syscall.Credential // who runs the service
	limit time.Duration       // 3 s where 0

	serves   bool   // the start must be accepted
	restored bool   // and say that this is another database
	first    bool   // a first start: nothing is there that could be lost
	failing  string // check that says what somebody has to decide, and degrades
}

// database is a good one, made by the service, that rows copy and break.
type database struct {
	path  string
	seeds int
	load  *load
}

// makeDatabase has the service make one, with accounts and acknowledged writes.
func makeDatabase(t *testing.T) database {
	t.Helper()
	dir := filepath.Join(root, "base")
	harness.Must(t, os.Mkdir(dir, 0o755))
	db := database{path: filepath.Join(dir, "accounts.db"), seeds: 500}
	svc := db.serve(t)
	svc.Stop(t, 0)
	content := []byte(harness.Read(t, db.path))
	harness.Must(t, os.WriteFile(olderCopy(), content, 0o600))
	svc = db.serve(t)
	db.load = newLoad(svc.URL)
	for n := range 50 {
		db.load.write(n)
	}
	db.load.end()
	svc.Stop(t, 0)
	return db
}

// olderCopy is the path of a copy without the last writes.
func olderCopy() string { return filepath.Join(root, "older.db") }

func (db database) serve(t *testing.T) *service {
	t.Helper()
	svc := startService(t, db.path, nil, fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", db.seeds))
	harness.Must(t, svc.healthy(20*time.Second))
	return svc
}

// playStart does a fault to a copy of the database and starts the service on it.
func playStart(t *testing.T, f startFault, base database, row *startRow) {
	defer row.report(t)
	f.limit = cmp.Or(f.limit, startLimit)
	dir, err := os.MkdirTemp(root, "start-")
	harness.Must(t, err)
	harness.Must(t, os.Chmod(dir, 0o755))
	harness.Must(t, os.CopyFS(dir, os.DirFS(filepath.Dir(base.path)))) // with what stands beside it
	path := filepath.Join(dir, "accounts.db")
	if f.harm != nil {
		f.harm(openFile(t, path))
	} else {
		f.do(t, path)
	}
	before := snapshot(t, dir)

	env := append([]string{fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", base.seeds)}, f.env...)
	r := start(t, path, f.as, f.limit+2*time.Second, env...)
	row.took = r.took
	switch {
	case r.refused:
		row.wantRefusal(r, path, f.limit)
		row.came = "refused, exit " + fmt.Sprint(r.svc.Code())
		if len(r.said) > 0 {
			row.came += ": " + plain(r.said[len(r.said)-1], dir)
		}
		if f.serves {
			row.bad("must be accepted")
		}
		row.file = "untouched"
		after := snapshot(t, dir)
		delete(after, "/accounts.db.stops") // why it was refused, for the next start to say
		if !maps.Equal(before, after) {
			row.file = "changed"
			row.bad("the folder had %v and has %v", before, after)
		}
	case r.serves:
		row.judgeServed(f, base, r)
	default:
		row.came = "neither serves nor ends: " + plain(r.words, dir)
		row.bad("neither serves nor ends")
	}
}

// judgeServed judges a start that was accepted.
func (row *startRow) judgeServed(f startFault, base database, r started) {
	row.file = "in use"
	switch {
	case f.first:
		row.came = "serves a new, empty database"
	case f.restored:
		row.came = "serves what is there and says that it was restored"
		if !saysRestore(r.svc.Log.String()) {
			row.bad("does not say that the database is not the one it was")
		}
	default:
		lost := base.load.compare(r.svc.URL, base.seeds)
		row.came = fmt.Sprintf("serves, %s acknowledged writes lost", lost)
		if !f.serves {
			row.bad("must be refused")
		}
		if !lost.none() {
			row.bad("serves with losses")
		}
	}
	if f.failing != "" {
		var a answer
		if !harness.Until(bound, func() bool { a = r.svc.ask("/health"); return a.code == 200 && a.Checks[f.failing].Status == "failing" }) {
			row.bad("%s does not fail: %s", f.failing, a)
		}
		row.came += "; /health 200 " + plain(a.words(f.failing), filepath.Dir(r.svc.Path))
	}
	if how := r.svc.stop(); how.killed {
		row.bad("stopped: %s", how)
	}
}

// snapshot is what a folder holds, by name: its kind and rights, and a hash of its content.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	names := map[string]string{}
	harness.Must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		harness.Must(t, err)
		info, err := entry.Info()
		harness.Must(t, err)
		name := strings.TrimPrefix(path, dir)
		names[name] = info.Mode().String()
		if info.Mode().IsRegular() {
			content := []byte(harness.Read(t, path))
			names[name] += fmt.Sprintf(" %x", sha256.Sum256(content))
		}
		return nil
	}))
	return names
}

// mountReadOnly makes a read-only file system of the database's folder.
func mountReadOnly(t *testing.T, path string) {
	t.Helper()
	dir := filepath.Dir(path)
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		skip(t, "a bind mount is not possible here: %v", err)
	}
	t.Cleanup(func() { detach(dir) })
	harness.Must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
}

// mountFull puts the database on a file system without room for one more byte.
func mountFull(t *testing.T, path string) {
	t.Helper()
	dir := filepath.Dir(path)
	moved := dir + ".moved"
	harness.Must(t, os.CopyFS(moved, os.DirFS(dir)))
	if err := unix.Mount("accountservice-faults", dir, "tmpfs", 0, "size=64m"); err != nil {
		skip(t, "a tmpfs is not possible here: %v", err)
	}
	t.Cleanup(func() { detach(dir) })
	harness.Must(t, os.CopyFS(dir, os.DirFS(moved)))
	harness.Must(t, os.RemoveAll(moved))
	harness.Fill(t, dir)
}

// edit changes a database by bbolt itself.
func edit(t *testing.T, path string, f func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	harness.Must(t, err)
	harness.Must(t, db.Update(f))
	harness.Must(t, db.Close())
}

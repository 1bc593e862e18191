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

	serves   bool // the start must be accepted
	restored bool // and say that this is another database
	either   bool // served with nothing lost, or refused
	first    bool // a first start: nothing is there that could be lost
}

// database is a good one, made by the service, that rows copy and break.
type database struct {
	path  string
	older string // a copy of it without its last writes
	seeds int
	load  *load
}

// makeDatabase has the service make one, with accounts and acknowledged writes.
func makeDatabase(t *testing.T) database {
	t.Helper()
	dir := filepath.Join(root, "base")
	harness.Must(t, os.Mkdir(dir, 0o755))
	db := database{path: filepath.Join(dir, "accounts.db"), seeds: 500}
	db.older = filepath.Join(root, "older.db")
	svc := db.serve(t)
	svc.Stop(t, 0)
	content, err := os.ReadFile(db.path)
	harness.Must(t, err)
	harness.Must(t, os.WriteFile(db.older, content, 0o600))
	svc = db.serve(t)
	db.load = newLoad(svc.URL, time.Hour, false)
	db.load.quiet.Store(true)
	db.load.deaf.Store(true)
	for n := range 50 {
		db.load.write(n)
	}
	db.load.end()
	svc.Stop(t, 0)
	return db
}

func (db database) serve(t *testing.T) *service {
	t.Helper()
	svc := startService(t, db.path, nil, fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", db.seeds))
	harness.Must(t, svc.healthy(20*time.Second))
	return svc
}

// copyTo puts the database, with what stands beside it, into an empty folder.
func (db database) copyTo(t *testing.T, dir string) (path string) {
	t.Helper()
	harness.Must(t, os.CopyFS(dir, os.DirFS(filepath.Dir(db.path))))
	return filepath.Join(dir, "accounts.db")
}

// playStart does a fault to a copy of the database and starts the service on it.
func playStart(t *testing.T, f startFault, base database, row *startRow) {
	defer markUnfinished(t, &row.broken)
	f.limit = cmp.Or(f.limit, startLimit)
	dir, err := os.MkdirTemp(root, "start-")
	harness.Must(t, err)
	harness.Must(t, os.Chmod(dir, 0o755))
	path := base.copyTo(t, dir)
	if f.harm != nil {
		f.harm(openFile(t, path))
	} else {
		f.do(t, path)
	}
	before := snapshot(t, dir)

	began := time.Now()
	env := append([]string{fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", base.seeds)}, f.env...)
	r := started{svc: startService(t, path, f.as, env...)}
	r.wait(began, f.limit+2*time.Second)
	row.took = r.took
	switch {
	case r.refused:
		row.broken = append(row.broken, refusal(r, path, f.limit)...)
		row.came = "refused, exit " + fmt.Sprint(r.svc.Code())
		if len(r.said) > 0 {
			row.came += ": " + plain(r.said[len(r.said)-1], dir)
		}
		if f.serves {
			row.broken = append(row.broken, "must be accepted")
		}
		row.file = "untouched"
		if after := snapshot(t, dir); !maps.Equal(before, after) {
			row.file = "changed"
			row.broken = append(row.broken, fmt.Sprintf("the folder had %v and has %v", before, after))
		}
	case r.serves:
		playServed(t, f, base, row, r)
	default:
		row.came = "neither serves nor ends: " + plain(r.words, dir)
		row.broken = append(row.broken, "neither serves nor ends")
		r.svc.Cmd.Process.Kill()
		r.svc.Ended(2 * time.Second)
	}
	for _, wrong := range row.broken {
		t.Error(wrong)
	}
}

// playServed judges a start that was accepted.
func playServed(t *testing.T, f startFault, base database, row *startRow, r started) {
	row.file = "in use"
	row.came = "serves"
	if f.first {
		row.came += " a new, empty database"
	} else if f.restored {
		row.came += " what is there"
		if saysRestore(r.svc.Log.String()) {
			row.came += " and says that it was restored"
		} else {
			row.broken = append(row.broken, "does not say that the database is not the one it was")
		}
	} else {
		lost := base.load.compare(r.svc.URL, base.seeds)
		row.came += fmt.Sprintf(", %s acknowledged writes lost", lost)
		if !f.serves && !f.either {
			row.broken = append(row.broken, "must be refused")
		}
		if !lost.none() {
			row.broken = append(row.broken, "serves with losses")
		}
	}
	if how := r.svc.stop(); how.killed {
		row.broken = append(row.broken, "stopped: "+how.String())
	}
}

// snapshot is what a folder holds, by name: its kind and rights, and a hash of its content.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	names := map[string]string{}
	harness.Must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(content))
		}
		names[strings.TrimPrefix(path, dir)] = text
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

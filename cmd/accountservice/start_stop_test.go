package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"accountservice/config"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/tests/harness"
)

// writtenLast returns the path of a database that a service made and closed, with one account, written last.
func writtenLast(t *testing.T, id string) string {
	t.Helper()
	p := ready(t, newPath(t))
	p.Put(t, id, "Last")
	p.Stop(t, 0)
	p.NeverLogged(t, "closing the database")
	return p.Path
}

func TestStartThatIsRefusedSaysWhyAndMakesNoDatabase(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	harness.Must(t, err)
	defer l.Close()
	locked := ready(t, newPath(t)).Path
	lost := writtenLast(t, "mine")
	harness.Must(t, os.Remove(lost))
	empty := newPath(t)
	harness.Must(t, os.WriteFile(empty, nil, 0o600))
	addr, port := l.Addr().String(), fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	t.Run("starts", func(t *testing.T) {
		for name, c := range map[string]struct {
			path string
			env  []string
			code int
			says []string
			kept bool // the reason, beside what was there
		}{
			"port is taken":       {locked, []string{"HTTP_PORT=" + port}, 1, []string{"port " + port + " is taken"}, false},
			"admin port is taken": {locked, []string{"ADMIN_ADDR=" + addr}, 1, []string{"admin.addr " + addr + " is taken by another process"}, false},
			"configuration faults": {newPath(t), []string{"HTTP_PROT=1", "CHECKS_INTERVAL=5", "STORE_SEED=-1"}, 2,
				[]string{"ACCOUNTSERVICE_HTTP_PROT", "ACCOUNTSERVICE_HTTP_PORT", "checks.interval", "store.seed"}, false},
			"no rescue_dir":       {newPath(t), []string{"STORE_BOLT_RESCUE_DIR=/nowhere/none"}, 1, []string{"store.bolt.rescue_dir"}, false},
			"must exist":          {newPath(t), []string{"STORE_BOLT_CREATE=never"}, 1, []string{"store.bolt.create lets none be made"}, false},
			"database is damaged": {empty, nil, 1, []string{"is empty (0 bytes)", empty}, true},
			"database is lost":    {lost, nil, 1, []string{lost + ".witness", "restore a backup"}, true},
			"database is locked":  {locked, []string{"STORE_BOLT_OPEN_TIMEOUT=300ms"}, 1, []string{"another process has held it locked for 300ms"}, false},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				before := glob(t, filepath.Dir(c.path)+"/*")
				if c.kept {
					before = append(before, c.path+".stops")
				}
				for i := range c.env {
					c.env[i] = config.EnvPrefix + c.env[i]
				}
				p := start(t, c.path, c.env...)
				p.Exits(t, c.code)
				for _, want := range c.says {
					p.Logs(t, want)
				}
				slices.Sort(before)
				if after := glob(t, filepath.Dir(c.path)+"/*"); !slices.Equal(after, before) {
					t.Errorf("there are the files %q, want %q", after, before)
				}
			})
		}
	})
}

func TestKeyOfTheFileThatHasNoEffectIsSaidAtTheStart(t *testing.T) {
	t.Parallel()
	file := write(t, "store:\n  bolt:\n    path: /mine/accounts.db\n")
	p := ready(t, newPath(t), "ACCOUNTSERVICE_CONFIG="+file)
	p.Logs(t, "a key of the file has no effect")
	p.Logs(t, file+":3) is set otherwise by ACCOUNTSERVICE_STORE_BOLT_PATH")
}

func TestDamagedNewestMetaPageIsRefusedUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	path := writtenLast(t, "last")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	harness.Must(t, err)
	defer f.Close()
	newest, err := boltfile.ReadMetas(f).Newest()
	harness.Must(t, err)
	_, err = f.WriteAt(make([]byte, 4), int64(newest.TxID%2)*newest.PageSize+boltfile.HeaderSize)
	harness.Must(t, err)
	p := start(t, path)
	p.Exits(t, 1)
	p.Logs(t, "store.bolt.accept_older_meta")

	p = ready(t, path, "ACCOUNTSERVICE_STORE_BOLT_ACCEPT_OLDER_META=true")
	p.Await(t, "/accounts/10000", 200)
	p.Await(t, "/accounts/last", 404) // the price
	p.Logs(t, "the database was damaged and is mended")
}

func TestServiceThatWasNeverReadyExits3(t *testing.T) {
	t.Parallel()
	sick := httptest.NewServer(http.NotFoundHandler())
	defer sick.Close()
	p := start(t, newPath(t), "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL="+sick.URL, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_ON_FAILURE=unroute")
	p.Await(t, "/health", 200)
	p.Answers(t, "/ready", 503, "it answers 404")
	p.Await(t, "/accounts/10000", 200)
	p.Stop(t, 3)
	p.Logs(t, "told to stop before it was ever ready")
}

func TestConnectionWithoutARequestIsNotCutShort(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), "ACCOUNTSERVICE_HTTP_SHUTDOWN_TIMEOUT=300ms")
	dial(t, p.URL)
	p.Await(t, "/ready", 200) // connections are accepted in turn: that one was
	p.Stop(t, 0)
}

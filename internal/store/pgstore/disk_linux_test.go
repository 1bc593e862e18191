package pgstore_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/internal/store"
	"accountservice/tests/harness"
)

// smallDisk makes a database of a server on a file system of its own, and returns its URL and folder. The server's log
// (WAL) and its other databases have more room.
func smallDisk(t *testing.T, own *harness.Postgres) (url, folder string) {
	t.Helper()
	folder = filepath.Join(own.Folder, "small")
	harness.Must(t, os.Mkdir(folder, 0o755))
	harness.SmallDisk(t, folder, "size=32m")
	if as := harness.Unprivileged(t); as != nil {
		harness.Must(t, os.Chown(folder, int(as.Credential.Uid), int(as.Credential.Gid)))
	}
	own.SQL(t, "postgres", "CREATE TABLESPACE small LOCATION '"+folder+"'", "CREATE DATABASE small TEMPLATE postgres TABLESPACE small")
	return own.URL("postgres", "small"), folder
}

// PostgreSQL refuses writes with this code, and serves reads, once its transaction ids run out.
func TestServerWithoutTransactionIDsFailsTheCheck(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	operator, s := session(t, url), open(t, options(t, url))
	put := func() error { return errOf(s.Put(t.Context(), "1", store.Draft{Name: "x"}, store.Preconditions{})) }
	do(t, operator, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "+
		"'BEGIN RAISE EXCEPTION USING ERRCODE = $$54000$$; END'")
	do(t, operator, "CREATE TRIGGER refuse BEFORE INSERT ON accounts EXECUTE FUNCTION refuse()")
	if err := put(); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Put = %v, want ErrUnavailable", err)
	}
	if err := s.CheckSpace(t.Context()); err == nil || !strings.Contains(err.Error(), "no transaction ids left") {
		t.Errorf("CheckSpace = %v", err)
	}
	do(t, operator, "DROP TRIGGER refuse ON accounts")
	harness.Must(t, put())
	harness.Must(t, s.CheckSpace(t.Context()))
}

// An index of an operator can refuse one account with that code, too.
func TestAccountThatAnIndexRefusesDoesNotFailTheCheck(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	operator, s := session(t, url), open(t, options(t, url))
	do(t, operator, "CREATE INDEX ON accounts ((labels::text))")
	labels := make(map[string]string)
	for range 60 {
		labels[rand.Text()] = strings.Repeat(rand.Text(), 8)
	}
	if err := errOf(s.Put(t.Context(), "1", store.Draft{Name: "x", Labels: labels}, store.Preconditions{})); err == nil {
		t.Error("the index takes it")
	}
	if err := s.CheckSpace(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFullDiskOfTheServerIsNoSpace(t *testing.T) {
	t.Parallel()
	url, folder := smallDisk(t, startOwn(t))
	s := open(t, options(t, url))
	put := func(id int) error {
		return errOf(s.Put(t.Context(), store.ID(fmt.Sprint(id)), store.Draft{Name: strings.Repeat("x", 200)}, store.Preconditions{}))
	}
	harness.Must(t, put(0))
	filler := harness.Fill(t, folder)
	refused, err := 0, error(nil)
	for err == nil && refused < 1000 { // the table's pages have some room left
		refused++
		err = put(refused)
	}
	if !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("Put %d = %v, want ErrNoSpace", refused, err)
	}
	if err := s.CheckSpace(t.Context()); err == nil || !strings.Contains(err.Error(), "the server's disk is full (53100)") {
		t.Errorf("CheckSpace = %v", err)
	}
	says(t, s, "")
	if _, err := s.Get(t.Context(), "0"); err != nil {
		t.Errorf("Get = %v: reads need no room", err)
	}
	harness.Must(t, os.Remove(filler))
	harness.Must(t, put(refused))
	harness.Must(t, s.CheckSpace(t.Context()))
}

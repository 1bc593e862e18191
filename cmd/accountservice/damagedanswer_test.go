package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/tests/harness"
)

// damagedAnswer is a closed database of 100 accounts with a damaged answer.
func damagedAnswer(t *testing.T) string {
	t.Helper()
	path := leftBehind(t)
	s, err := boltstore.Open(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second})
	harness.Must(t, err)
	_, err = s.Put(t.Context(), "10000", store.Draft{Name: "Anew"}, store.Preconditions{Idempotency: &store.Idempotency{
		Key: "key", Answer: func(store.Written) []byte { return []byte("the answer") }}})
	harness.Must(t, err)
	harness.Must(t, s.Close(t.Context()))
	b := []byte(harness.Read(t, path))
	harness.Must(t, os.WriteFile(path, bytes.ReplaceAll(b, []byte("the answer"), []byte("the Answer")), 0o600))
	return path
}

func TestDatabaseWithADamagedAnswerIsBackedUpAndRestored(t *testing.T) {
	t.Parallel()
	const told = "other records that are damaged, and that a service serves, forgets or makes anew: 1;"
	path, file, dir := damagedAnswer(t), filepath.Join(t.TempDir(), "file.db"), t.TempDir()
	runs(t, command("", "verify", path)).is(t, 1, "A service serves all accounts. It forgets an answer", "")
	runs(t, command(path, "backup", "--to", file)).is(t, 0, "", told)

	p := ready(t, path, append(quick, anyAdmin, "ACCOUNTSERVICE_BACKUP_TO="+dir, "ACCOUNTSERVICE_BACKUP_SCHEDULE=1s")...)
	p.Logs(t, "backup made")
	p.Stop(t, 0)
	if len(backupsIn(t, dir)) == 0 {
		t.Error("the backup that was made is not there")
	}

	restored := newPath(t)
	runs(t, command(restored, "restore", file)).is(t, 0, told, "")
	ready(t, restored).Answers(t, "/accounts/10007", 200, "")
}

func TestBackupOfADatabaseWithADamagedPageNamesIt(t *testing.T) {
	t.Parallel()
	addr := fmt.Sprint("127.0.0.1:", harness.Port(t))
	p := ready(t, newPath(t), "ACCOUNTSERVICE_ADMIN_ADDR="+addr)
	b := []byte(harness.Read(t, p.Path))
	f, err := os.OpenFile(p.Path, os.O_WRONLY, 0)
	harness.Must(t, err)
	defer f.Close()
	at := bytes.LastIndex(b, []byte("10000\x01")) // the page with all accounts
	_, err = f.WriteAt([]byte("torn"), int64(at-at%os.Getpagesize()))
	harness.Must(t, err)
	runs(t, command("", "backup", "--url", "http://"+addr, "--to", filepath.Join(t.TempDir(), "file.db"))).is(t, 1, "",
		"There is no backup: bolt backup: the database is damaged: page ")
}

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/tests/harness"
)

// here runs accountservice in this process.
func here(t *testing.T, environ []string, args ...string) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, environ, &stdout, &stderr)
	return ran{harness.Result{Code: code, Stdout: stdout.String(), Stderr: stderr.String()}}
}

// leftBehind returns the database that a service left behind.
func leftBehind(t *testing.T) string {
	t.Helper()
	p := ready(t, newPath(t))
	p.Stop(t, 0)
	return p.Path
}

// reportOf is what verify writes as JSON when it ends with this code.
func reportOf(t *testing.T, path string, code int) (report boltverify.Report) {
	t.Helper()
	r := here(t, nil, "verify", "--format", "json", path)
	r.is(t, code, "", "")
	harness.Must(t, json.Unmarshal([]byte(r.Stdout), &report))
	return report
}

func TestVerifySaysThatADatabaseIsIntact(t *testing.T) {
	t.Parallel()
	path := leftBehind(t)
	r := here(t, nil, "verify", path)
	if r.is(t, 0, path+" is intact: 100 accounts (0 without checksum), ", ""); r.Stderr != "" {
		t.Errorf("it says %q", r.Stderr)
	}
	report := reportOf(t, path, 0)
	if !report.Intact || report.File != path || report.Accounts != 100 || report.Findings == nil {
		t.Errorf("%+v", report)
	}
}

func TestVerifySaysEachDamageOnALine(t *testing.T) {
	t.Parallel()
	path := damagedFile(t)
	b := harness.Read(t, path)
	r := here(t, nil, "verify", path)
	r.is(t, 1, "wrong checksum\n  account \"10042\" on page ", "")
	r.is(t, 1, "2 of 100 accounts have damaged records: 10007, 10042\nA service serves all other accounts.", "")
	if !strings.HasPrefix(r.Stdout, path+" is damaged:\n  account \"10007\" on page ") || r.Stderr != "" {
		t.Errorf("%q, %q", r.Stdout, r.Stderr)
	}
	report := reportOf(t, path, 1)
	if report.Intact || len(report.Findings) != 2 || report.Damaged != 2 || !slices.Contains(report.DamagedIDs, "10042") {
		t.Errorf("%+v", report)
	}
	holds(t, path, b)
}

func TestVerifyOfAnEmptyFileGivesAnAdviceThatFits(t *testing.T) {
	r := here(t, nil, "verify", write(t, ""))
	r.is(t, 1, "is empty (0 bytes)", "")
	if r.is(t, 1, "remove this file and its witness", ""); strings.Contains(r.Stdout, "what can be read") {
		t.Errorf("%q", r.Stdout)
	}
}

func TestExportInPlaceOfADatabaseIsNotCalledDamaged(t *testing.T) {
	t.Parallel()
	const line = `{"id":"1","name":"x"}` + "\n"
	path, database := write(t, line), newPath(t)
	for _, c := range []struct {
		code int
		at   string // store.bolt.path
		args []string
		want string
	}{
		{2, database, []string{"verify", path}, "to accountservice import\n"},
		{1, database, []string{"compact", path}, "to accountservice import\n"},
		{1, database, []string{"restore", path}, "to accountservice import\n"},
		{1, database, []string{"export", "--salvage", path}, "to accountservice import\n"},
		{1, path, []string{"backup", "--to", filepath.Join(t.TempDir(), "copy")}, "check the path, or restore a backup of the database that was there\n"},
	} {
		r := here(t, []string{"ACCOUNTSERVICE_STORE_BOLT_PATH=" + c.at}, c.args...)
		r.is(t, c.code, "", path)
		r.is(t, c.code, "", "is no database but JSON: give an export, which has one account a line, to accountservice import")
		if r.is(t, c.code, "", c.want); strings.Contains(r.Stderr, "damaged") || r.Stdout != "" {
			t.Errorf("%s says %q, %q", c.args[0], r.Stdout, r.Stderr)
		}
		holds(t, path, line)
	}
	backup, _ := backupOf(t, 30, time.Now())
	r := here(t, []string{"ACCOUNTSERVICE_STORE_BOLT_PATH=" + path}, "restore", backup)
	r.is(t, 1, "replaces: "+path+", no database\n", "is no database but JSON")
	holds(t, path, line)
}

// Nothing is lost by it, and a backup would lack what was changed since.
func TestVerifyOfADamagedOlderMetaPageAsksForNoBackup(t *testing.T) {
	t.Parallel()
	path := leftBehind(t)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	harness.Must(t, err)
	defer f.Close()
	m, err := boltfile.InspectFile(f)
	harness.Must(t, err)
	_, err = f.WriteAt([]byte{0xa5}, int64(m.TxID+1)%2*m.PageSize+boltfile.HeaderSize)
	harness.Must(t, err)
	here(t, nil, "verify", path).is(t, 1, "the older one; nothing is lost by it\nA start writes this page anew", "")
	here(t, nil, "compact", path).is(t, 1, "", "nothing is lost by it\nA start writes this page anew")
	ready(t, path).Stop(t, 0)
	here(t, nil, "verify", path).is(t, 0, "", "")
}

func TestVerifyWithoutAVerdictExits2(t *testing.T) {
	t.Parallel()
	running := ready(t, newPath(t))
	free := leftBehind(t)
	dash := filepath.Join(t.TempDir(), "-x")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no file":           {nil, "name the database file, and nothing else: accountservice verify FILE"},
		"two files":         {[]string{free, free}, "name the database file, and nothing else: accountservice verify FILE"},
		"missing file":      {[]string{dash}, dash + ": "},
		"other format":      {[]string{"--format", "xml", free}, `"xml"`},
		"no time":           {[]string{"--timeout", "0s", free}, "above 0"},
		"time without unit": {[]string{"--timeout", "5", free}, "missing unit"},
		"too little time":   {[]string{"--timeout", "1ns", free}, "--timeout grants more"},
		"in use":            {[]string{running.Path}, "a running service holds it; verify a copy. accountservice backup makes one"},
	} {
		r := here(t, nil, append([]string{"verify"}, c.args...)...)
		if r.is(t, 2, "", c.want); r.Stdout != "" {
			t.Errorf("%s: %q", name, r.Stdout)
		}
	}
	running.Answers(t, "/health", 200, "")
}

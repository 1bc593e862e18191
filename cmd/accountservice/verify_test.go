package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/tests/harness"
)

// here runs accountservice in this process.
func here(t *testing.T, command string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), append([]string{command}, args...), nil, &out, &err)
	return code, out.String(), err.String()
}

// leftBehind returns the database that a service left behind.
func leftBehind(t *testing.T) string {
	t.Helper()
	p := ready(t, newPath(t))
	p.Stop(t, 0)
	return p.Path
}

func TestVerifySaysThatADatabaseIsIntact(t *testing.T) {
	t.Parallel()
	path := leftBehind(t)
	code, stdout, stderr := here(t, "verify", path)
	if code != 0 || !strings.Contains(stdout, path+" is intact: 100 accounts (0 without checksum), ") || stderr != "" {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, _ = here(t, "verify", "--format", "json", path)
	var report boltverify.Report
	if err := json.Unmarshal([]byte(stdout), &report); code != 0 || err != nil || !report.Intact || report.File != path || report.Accounts != 100 || report.Findings == nil {
		t.Errorf("exit %d, %s, %v", code, stdout, err)
	}
}

func TestVerifySaysEachDamageOnALine(t *testing.T) {
	t.Parallel()
	path := damagedFile(t)
	b := []byte(harness.Read(t, path))
	code, stdout, stderr := here(t, "verify", path)
	if code != 1 || !strings.HasPrefix(stdout, path+" is damaged:\n  account \"10007\" on page ") || !strings.Contains(stdout, "wrong checksum\n  account \"10042\" on page ") || stderr != "" {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	if want := "2 of 100 accounts have damaged records: 10007, 10042\nA service serves all other accounts."; !strings.Contains(stdout, want) {
		t.Errorf("%s, want %s", stdout, want)
	}
	code, stdout, _ = here(t, "verify", "--format", "json", path)
	var report boltverify.Report
	if err := json.Unmarshal([]byte(stdout), &report); code != 1 || err != nil || report.Intact || len(report.Findings) != 2 ||
		report.Damaged != 2 || !slices.Contains(report.DamagedIDs, "10042") {
		t.Errorf("exit %d, %s, %v", code, stdout, err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
		t.Errorf("the file was changed: %v", err)
	}
}

func TestVerifyOfAnEmptyFileGivesAnAdviceThatFits(t *testing.T) {
	code, stdout, _ := here(t, "verify", write(t, ""))
	if code != 1 || !strings.Contains(stdout, "is empty (0 bytes)") || !strings.Contains(stdout, "remove this file and its witness") ||
		strings.Contains(stdout, "what can be read") {
		t.Errorf("exit %d, %q", code, stdout)
	}
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
	code, stdout, _ := here(t, "verify", path)
	if code != 1 || !strings.Contains(stdout, "the older one; nothing is lost by it\nA start writes this page anew") {
		t.Errorf("exit %d, %q", code, stdout)
	}
	code, _, stderr := here(t, "compact", path)
	if code != 1 || !strings.Contains(stderr, "nothing is lost by it\nA start writes this page anew") {
		t.Errorf("compact: exit %d, %q", code, stderr)
	}
	ready(t, path).Stop(t, 0)
	code, stdout, _ = here(t, "verify", path)
	if code != 0 {
		t.Errorf("after a start: exit %d, %q", code, stdout)
	}
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
		if code, stdout, stderr := here(t, "verify", c.args...); code != 2 || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %q, %q; want 2 and %q", name, code, stdout, stderr, c.want)
		}
	}
	if status, _ := running.Get("/health"); status != 200 {
		t.Errorf("/health of the service whose file was asked for = %d", status)
	}
}

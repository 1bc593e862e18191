package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// damagedFile is a closed database of 100 accounts, two of which are damaged.
func damagedFile(t *testing.T) string {
	t.Helper()
	path := leftBehind(t)
	harness.DamageRecords(t, path, "10007", "10042")
	return path
}

// tear damages a page whose records are whole, and returns what the file has then.
func tear(t *testing.T, path string) []byte {
	t.Helper()
	b := []byte(harness.Read(t, path))
	at := bytes.LastIndex(b, []byte(`"Person_7"`))
	clear(b[at-at%os.Getpagesize():][:16]) // its header
	harness.Must(t, os.WriteFile(path, b, 0o600))
	return b
}

func TestExportOfADamagedDatabaseIsWholeButForThatAndFails(t *testing.T) {
	t.Parallel()
	path := damagedFile(t)
	const said = "exported 98 accounts in "
	const failed = `2 accounts are damaged: lines with "damaged" name them`
	exports := runs(t, command(path, "export"))
	exports.is(t, 1, "{\"damaged\":\"10007\"}\n", said)
	exports.is(t, 1, "{\"damaged\":\"10042\"}\n", failed)
	out := filepath.Join(t.TempDir(), "out")
	runs(t, command(path, "export", "--output", out)).is(t, 1, "", failed)
	if b, err := os.ReadFile(out); string(b) != exports.Stdout || strings.Count(exports.Stdout, "\n") != 100 {
		t.Errorf("%d bytes in the file, %d at standard output, %v", len(b), len(exports.Stdout), err)
	}
	imports := runs(t, command(newPath(t), "import", out))
	imports.is(t, 0, "98 created", "2 of these lines only name accounts that were damaged when they were exported")

	p := ready(t, path)
	remote := runs(t, command("", "export", "--url", p.URL))
	if remote.is(t, 1, exports.Stdout, failed); remote.Stdout != exports.Stdout {
		t.Errorf("the export of the service is another one")
	}
	p.Answers(t, "/accounts/10007", 503, "/problems/account-damaged")
	p.Says(t, "/health", `account \"10007\", account \"10042\"`)
	p.Answers(t, "/health", 200, `"records"`)
	p.Put(t, "10007", "anew")
	p.Put(t, "10042", "anew")
	runs(t, command("", "export", "--url", p.URL)).is(t, 0, "", "exported 100 accounts in ")
}

func TestSalvageExportsADatabaseThatIsRefused(t *testing.T) {
	t.Parallel()
	path := damagedFile(t)
	runs(t, command("", "export", "--salvage", path)).is(t, 1, "{\"damaged\":\"10007\"}\n", `2 accounts have damaged records`)
	b := []byte(harness.Read(t, path))
	leaf := strings.LastIndex(string(b), "10000\x01") / 4096 // the page with all accounts: without it, a start refuses
	copy(b[leaf*4096:], "torn")
	harness.Must(t, os.WriteFile(path, b, 0o600))
	runs(t, command(path, "export")).is(t, 1, "", "is damaged")
	runs(t, command("", "export", "--salvage", path)).is(t, 1, "", path+" is damaged, and accounts may be missing:\n  page ")
	whole, torn := leftBehind(t), filepath.Join(t.TempDir(), "torn.db")
	copied(t, whole, torn)
	tear(t, torn)
	got := runs(t, command("", "export", "--salvage", torn))
	got.is(t, 1, "", "what is above could not be read")
	if strings.Contains(got.Stderr, "0 accounts have") {
		t.Errorf("it tells of damaged records: %s", got.Stderr)
	}
	runs(t, command("", "export", "--salvage", whole)).is(t, 0, "\"Person_99\"", "exported 100 accounts in ")
	runs(t, command("", "export", "--salvage", filepath.Join(t.TempDir(), "none"))).is(t, 1, "", "no such file")
	runs(t, command("", "export", "--salvage", whole, "--url", "http://localhost:1")).is(t, 2, "", "give one of them")
}

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// A missing volume is a check that fails, said in the log once, or no start at all. The folder of this test is made one
// that ends with its container: memory.
func TestMissingVolumeIsSaid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.SmallDisk(t, dir, "size=64m")
	path := filepath.Join(dir, "accounts.db")

	strict := start(t, path, "ACCOUNTSERVICE_STORE_BOLT_VOLUME=require")
	strict.Exits(t, 1)
	strict.Logs(t, "mount a named volume at "+dir)
	runs(t, with(command(path, "import", write(t, line(1))), "ACCOUNTSERVICE_STORE_BOLT_VOLUME=require")).is(t, 1, "", "mount a named volume at "+dir)
	wantFiles(t, path)

	p := start(t, path, "ACCOUNTSERVICE_STORE_BOLT_VOLUME=warn")
	p.Logs(t, "mount a named volume") // 503 is also the answer before the check's first run
	p.Await(t, "/health/checks/volume", 503)
	p.Await(t, "/ready", 200)
	p.Stop(t, 0)
	if n := strings.Count(p.Log.String(), "mount a named volume"); n != 1 {
		t.Errorf("the log says it %d times, want once:\n%s", n, p.Log)
	}

	indifferent := start(t, path)
	indifferent.Await(t, "/health/checks/bolt", 200)
	indifferent.Await(t, "/health/checks/volume", 404)
}

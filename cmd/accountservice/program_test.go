package main

import (
	"os"
	"path/filepath"
	"testing"

	"accountservice/tests/harness"
)

func TestLimitOfThreadsIsKnown(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		limit      int
		few        bool
	}{
		"none":            {"other", "", 0, false},
		"unlimited":       {"pids.max", "max\n", 0, false},
		"enough":          {"pids.max", "64\n", 0, false},
		"few":             {"pids.max", "63\n", 63, true},
		"few, cgroups v1": {"pids/pids.max", "8\n", 8, true},
	} {
		t.Run(name, func(t *testing.T) {
			cgroups := t.TempDir()
			file := filepath.Join(cgroups, c.file)
			harness.Must(t, os.MkdirAll(filepath.Dir(file), 0o755))
			harness.Must(t, os.WriteFile(file, []byte(c.text), 0o600))
			if limit, few := tooFewThreads(cgroups); limit != c.limit || few != c.few {
				t.Errorf("tooFewThreads = %d, %v, want %d, %v", limit, few, c.limit, c.few)
			}
		})
	}
}

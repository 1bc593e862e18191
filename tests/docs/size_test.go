package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"accountservice/tests/harness"
)

// Limits in MB of what make build makes.
const (
	maxGrowth = 1.0  // over the last row of the table
	maxImage  = 29.0 // of both binaries: the image has little else
)

func TestGrowthOfABinaryIsExplained(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	text := harness.Read(t, "../../docs/benchmarks.md")
	explained := make(map[string]float64)
	for _, row := range regexp.MustCompile(`(?m)^\| (accountservice|healthchecker) \| ([0-9.]+) \| \S.* \|$`).FindAllStringSubmatch(text, -1) {
		size, err := strconv.ParseFloat(row[2], 64)
		harness.Must(t, err)
		explained[row[1]] = size
	}
	if len(explained) != 2 {
		t.Fatalf("docs/benchmarks.md explains the size of %v", explained)
	}
	bin := t.TempDir()
	harness.Output(t, exec.Command("make", "-C", "../..", "build", "BIN="+bin))
	total := 0.0
	for name, known := range explained {
		info, err := os.Stat(filepath.Join(bin, name))
		harness.Must(t, err)
		size := float64(info.Size()) / 1e6
		total += size
		if size > known+maxGrowth {
			t.Errorf("%s has %.1f MB and %.1f are explained: add a row to docs/benchmarks.md that says what the rest is for",
				name, size, known)
		}
	}
	if total > maxImage {
		t.Errorf("both binaries have %.1f MB, more than %.0f", total, maxImage)
	}
}

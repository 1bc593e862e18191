//go:build linux

// Package faults is the fault table: real faults of files, disks, time and surroundings under the real binaries, what
// these said and did, and what was lost. It writes docs/faults.md. It knows the service by its HTTP answers, its log,
// its exit codes and the layout of its file, and no package of it.
package faults

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// root is the folder of everything that one run makes.
var root string

func TestMain(m *testing.M) {
	wanted := os.Getenv("FAULT_TABLE") == "1" || os.Getenv(quietFor)+os.Getenv(soakFor) != ""
	if wanted {
		removeLeftovers()
	}
	harness.Main(m, wanted, fmt.Sprint(prefix, os.Getpid(), "-"), &root)
}

// TestFaultTable plays every row and writes the table.
func TestFaultTable(t *testing.T) {
	if os.Getenv("FAULT_TABLE") != "1" {
		t.Skip("needs root, loop devices, FUSE and some minutes: FAULT_TABLE=1 asks for it (make fault-table)")
	}
	began := time.Now()
	faults := only(allFaults, func(f fault) string { return f.name })
	refusedStarts := only(refusedStarts, func(f startFault) string { return "start: " + f.name })
	var running []*row
	var starts []*startRow
	base := makeDatabase(t)
	t.Run("beside each other", func(t *testing.T) {
		for _, f := range faults {
			r := &row{verdict: verdict{name: f.name}}
			running = append(running, r)
			if !f.alone {
				beside(t, f.name, &r.verdict, func(t *testing.T) { play(t, f, r) })
			}
		}
		for _, f := range refusedStarts {
			r := &startRow{verdict: verdict{name: f.name}}
			starts = append(starts, r)
			beside(t, "start: "+f.name, &r.verdict, func(t *testing.T) { playStart(t, f, base, r) })
		}
	})
	t.Logf("beside each other: %s", time.Since(began).Round(time.Second))
	for i, f := range faults {
		if f.alone {
			t.Run(f.name, func(t *testing.T) { play(t, f, running[i]) })
		}
	}
	writeDocument(t, running, starts)
}

// onlyRows is FAULT_TABLE_ONLY, a regular expression: the rows to play. The document is not written then.
var onlyRows = os.Getenv("FAULT_TABLE_ONLY")

func only[F any](all []F, name func(F) string) []F {
	wanted := regexp.MustCompile(onlyRows)
	return slices.DeleteFunc(slices.Clone(all), func(f F) bool { return !wanted.MatchString(name(f)) })
}

// beside plays one row as soon as fewer than -parallel others are played.
func beside(t *testing.T, name string, v *verdict, play func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		verdicts.Store(t.Name(), v)
		play(t)
	})
}

// verdicts holds for each test the one of its row.
var verdicts sync.Map

// skip leaves a row out and says why, in the table too.
func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if v, ok := verdicts.Load(t.Name()); ok {
		v.(*verdict).skipped = fmt.Sprintf(format, args...)
	}
	t.Skipf(format, args...)
}

package notice_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/internal/notice"
	"accountservice/internal/tempfile"
	"accountservice/tests/harness"
)

var day = time.Date(2026, 11, 29, 4, 0, 0, 0, time.UTC)

func newPath(t *testing.T) string { t.Helper(); return filepath.Join(t.TempDir(), "accounts.db") }

// stops returns the stops that are kept at a time.
func stops(t *testing.T, path string, at time.Time) []notice.Stop {
	t.Helper()
	list, err := notice.Stops(path, at)
	harness.Must(t, err)
	return list
}

func TestStopsOfOneReasonAreOneWithItsTimes(t *testing.T) {
	path := newPath(t)
	for i, reason := range []string{"sick", "lost", "lost", "lost", "sick"} {
		at := day.Add(time.Duration(i)*time.Second + time.Millisecond).In(time.FixedZone("", 3600)) // kept in whole seconds of UTC
		harness.Must(t, notice.AddStop(path, 1+len(reason)%2, reason, at))
	}
	harness.Must(t, notice.AddStop(path, 3, "lost", day.Add(5*time.Second)))
	want := []notice.Stop{
		{1, "sick", 2, day, day.Add(4 * time.Second)},
		{1, "lost", 3, day.Add(time.Second), day.Add(3 * time.Second)},
		{3, "lost", 1, day.Add(5 * time.Second), day.Add(5 * time.Second)},
	}
	if got := stops(t, path, day); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestManyLongReasonsTakeLittleRoomAndTheFirstOneStays(t *testing.T) {
	path := newPath(t)
	for i := range 100 {
		long := fmt.Sprint(i, " ", strings.Repeat("\x01ü\xff", 5000)) // JSON needs six bytes for some of one
		harness.Must(t, notice.AddStop(path, 1, long, day.Add(time.Duration(i)*time.Second)))
	}
	got := stops(t, path, day.Add(time.Hour))
	if len(got) != 8 || !strings.HasPrefix(got[0].Reason, "0 ") || !strings.HasPrefix(got[1].Reason, "93 ") ||
		!strings.HasPrefix(got[7].Reason, "99 ") {
		t.Errorf("got %d stops: %v; want the first one and the last seven", len(got), got)
	}
	info, err := os.Stat(path + ".stops")
	if err != nil || info.Size() > 64<<10 || info.Mode() != 0o600 {
		t.Errorf("the file: %v, %v; want at most 64 KiB that only its owner reads", info, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("files beside it: %v, %v", entries, err)
	}
	longest := notice.CheckStops(got, func() time.Time { return day })(t.Context())
	if words := longest.Error(); len(words) > 512 || !strings.Contains(words, "exit code 1: 99 ") ||
		!strings.Contains(words, "6 other reasons") {
		t.Errorf("the warning has %d bytes: %s; want the first and the last reason in 512", len(words), words)
	}
}

// The end of a reason says what can be done.
func TestWarningOfStopsHasTheEndsOfTheirReasons(t *testing.T) {
	long := "the file is gone" + strings.Repeat(", and so on", 100) + "; restore a backup"
	path := newPath(t)
	harness.Must(t, notice.AddStop(path, 3, long, day))
	if kept := stops(t, path, day)[0].Reason; len(kept) > 1<<10 || !strings.HasSuffix(kept, "; restore a backup") {
		t.Errorf("%d bytes are kept: %s", len(kept), kept)
	}
	stop := func(reason string) notice.Stop { return notice.Stop{3, reason, 2, day, day} }
	const told = "it stopped 2 times from 2026-11-29T04:00:00Z to 2026-11-29T04:00:00Z with exit code 3: "
	for name, c := range map[string]struct {
		list []notice.Stop
		want []string // in this order, with one … between
	}{
		"one":               {[]notice.Stop{stop(long)}, []string{told + "the file is gone, and", "; restore a backup"}},
		"the first is long": {[]notice.Stop{stop(long), stop("lost")}, []string{told + "the file is gone, and", "; restore a backup; " + told + "lost"}},
		"the last is long":  {[]notice.Stop{stop("lost"), stop(long)}, []string{told + "lost; " + told + "the file is gone, and", "; restore a backup"}},
		"both are":          {[]notice.Stop{stop(long), stop(long)}, []string{told + "the file is gone, and", "; restore a backup; " + told + "the file is gone, and", "; restore a backup"}},
		"several are": {[]notice.Stop{stop(long), stop("x"), stop(long)}, []string{told + "the file is gone, and",
			"; restore a backup; 1 other reasons are in the log; " + told + "the file is gone, and", "; restore a backup"}},
		"both fit": {[]notice.Stop{stop(strings.Repeat("x", 330)), stop("lost")}, []string{told + strings.Repeat("x", 330) + "; " + told + "lost"}},
	} {
		t.Run(name, func(t *testing.T) {
			words := notice.CheckStops(c.list, func() time.Time { return day })(t.Context()).Error()
			parts := strings.Split(words, "…")
			if len(words) > 512 || len(parts) == 1 != (len(c.want) == 1) || len(c.want) > 1 && len(words) < 500 {
				t.Errorf("%d bytes: %s", len(words), words)
			}
			for i, part := range parts {
				if i >= len(c.want) || !strings.Contains(part, c.want[i]) {
					t.Errorf("part %d is %q, want %q", i, part, c.want)
				}
			}
		})
	}
}

func TestStopsAreToldOfForADay(t *testing.T) {
	path := newPath(t)
	harness.Must(t, notice.AddStop(path, 3, "sick", day))
	harness.Must(t, notice.AddStop(path, 1, "lost", day.Add(2*time.Hour)))
	now := day.Add(25 * time.Hour)
	if got := stops(t, path, now); len(got) != 1 || got[0].Reason != "lost" {
		t.Errorf("after 25 hours: %v, want the one of 23 hours ago", got)
	}
	check := notice.CheckStops(stops(t, path, day.Add(2*time.Hour)), func() time.Time { return now })
	var warning interface{ Warning() string }
	if err := check(t.Context()); !errors.As(err, &warning) || warning.Warning() != "it stopped at 2026-11-29T04:00:00Z "+
		"with exit code 3: sick; it stopped at 2026-11-29T06:00:00Z with exit code 1: lost" {
		t.Errorf("got %v, want a warning", err)
	}
	now = day.Add(26*time.Hour + time.Second)
	if err := check(t.Context()); err != nil {
		t.Errorf("more than a day after the last stop: %v", err)
	}
	if got := stops(t, path, day.Add(-time.Hour)); len(got) != 0 {
		t.Errorf("stops of the future: %v", got)
	}
}

func TestFileOfStopsThatCannotBeReadBeginsAnew(t *testing.T) {
	path := newPath(t)
	harness.Must(t, os.WriteFile(path+".stops", []byte("["), 0o600))
	if _, err := notice.Stops(path, day); err == nil || !strings.Contains(err.Error(), path+".stops") {
		t.Errorf("got %v, want an error that names the file", err)
	}
	harness.Must(t, notice.AddStop(path, 1, "lost", day))
	if got := stops(t, path, day); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestFileThatCannotBeReplacedStaysAndNothingIsLeftBeside(t *testing.T) {
	path := newPath(t)
	harness.Must(t, os.Mkdir(path+".stops", 0o700))
	if err := notice.AddStop(path, 1, "lost", day); err == nil {
		t.Error("a folder was replaced")
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("files beside it: %v, %v", entries, err)
	}
}

// TestStartBesideAWriteRemovesNoFileInUse has a start remove what it takes for abandoned, all the time that stops are
// written.
func TestStartBesideAWriteRemovesNoFileInUse(t *testing.T) {
	path := newPath(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".stops-*"))
			for _, name := range left {
				if f, err := os.OpenFile(name, os.O_RDWR, 0); err == nil {
					if tempfile.TryLock(f) == nil {
						os.Remove(name)
					}
					f.Close()
				}
			}
		}
	}()
	t.Cleanup(func() { <-done })
	for range 100 {
		harness.Must(t, notice.AddStop(path, 3, "sick", time.Now()))
	}
}

func TestNoNoticeIsRemovedFromAReadOnlyFileSystem(t *testing.T) {
	path := newPath(t)
	harness.ReadOnly(t, filepath.Dir(path))
	harness.Must(t, notice.Remove(path+".restored"))
}

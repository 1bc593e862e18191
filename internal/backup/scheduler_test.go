package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/backup"
	"accountservice/tests/harness"
)

// scheduled returns a Scheduler over a folder. Its database is a text, and what is whole begins with "whole".
func scheduled(t *testing.T, dir string) *backup.Scheduler {
	t.Helper()
	transaction := uint64(0)
	return backup.NewScheduler(backup.Options{Target: openFolder(t, dir), Every: 6 * time.Hour, MaxAge: 24 * time.Hour, Keep: 3,
		Log: slog.New(slog.DiscardHandler), State: func() (string, uint64) { return "", math.MaxUint64 },
		Make: func(_ context.Context, to *os.File) (backup.Content, error) {
			transaction++
			n, err := fmt.Fprintf(to, "whole %d", transaction)
			return backup.Content{Transaction: transaction, Size: int64(n)}, err
		},
		Verify: func(_ context.Context, f *os.File) (backup.Content, error) {
			text, err := io.ReadAll(io.NewSectionReader(f, 0, 100))
			if err == nil && !bytes.HasPrefix(text, []byte("whole")) {
				err = errors.New("it is not whole")
			}
			_, identity, _ := bytes.Cut(text, []byte(" of "))
			return backup.Content{Identity: string(identity)}, err
		}})
}

// scheduling calls f in a synctest bubble with a Scheduler over a new folder.
func scheduling(t *testing.T, f func(t *testing.T, s *backup.Scheduler, dir string)) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f(t, scheduled(t, dir), dir)
	})
}

// running runs a Scheduler until the returned function is called.
func running(s *backup.Scheduler) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// at returns the names in a folder, without those of the past that were there before.
func at(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	harness.Must(t, err)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// wantCheck wants the check to fail, or to warn, with these words; none for a pass.
func wantCheck(t *testing.T, s *backup.Scheduler, warns bool, words ...string) {
	t.Helper()
	err := s.Check(t.Context())
	_, is := err.(interface{ Warning() string })
	if (err == nil) != (len(words) == 0) || err != nil && is != warns {
		t.Errorf("the check says %v, a warning: %v; want %v of %q", err, is, warns, words)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the check says %v, without %q", err, word)
		}
	}
}

// A first start is not ill.
func TestFirstBackupOnItsWayIsAWarning(t *testing.T) {
	scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
		whole := s.Make
		s.Make = func(ctx context.Context, to *os.File) (backup.Content, error) {
			time.Sleep(10 * time.Minute)
			return whole(ctx, to)
		}
		defer running(s)()
		pass(4 * time.Minute)
		wantCheck(t, s, true, "there is no whole backup in "+dir+" yet")
		pass(2 * time.Minute) // too long for most databases
		wantCheck(t, s, false, "there is no whole backup in "+dir, "a try is under way for 6m0s")
		pass(5 * time.Minute)
		wantCheck(t, s, false)
	})
}

func TestBackupsAreMadeInTimeAndOldOnesOfOurNameRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		harness.Must(t, os.WriteFile(filepath.Join(dir, "accounts.db"), nil, 0o600))
		s := scheduled(t, dir)
		wantCheck(t, s, true, "not listed yet")
		begun := time.Now()
		defer running(s)()
		pass(5*6*time.Hour + time.Hour)
		want := []string{backup.NameOf(begun.Add(18*time.Hour), 4), backup.NameOf(begun.Add(24*time.Hour), 5), backup.NameOf(begun.Add(30*time.Hour), 6), "accounts.db"}
		if got := at(t, dir); !slices.Equal(got, want) {
			t.Errorf("the folder has %q, want %q", got, want)
		}
		wantCheck(t, s, false)
	})
}

func TestNewestBackupIsAWarningUntilItIsVerifiedSinceTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		during(scheduled(t, dir), time.Hour)
		s, read := scheduled(t, dir), make(chan struct{})
		verify := s.Verify
		s.Verify = func(ctx context.Context, f *os.File) (backup.Content, error) {
			<-read
			return verify(ctx, f)
		}
		defer running(s)()
		synctest.Wait()
		wantCheck(t, s, true, "the newest backup, "+at(t, dir)[0]+", is 1h0m0s old", "it is being read to verify it")
		close(read)
		synctest.Wait()
		wantCheck(t, s, false)
	})
}

func TestRestartKnowsTheNewestByListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		during(scheduled(t, dir), time.Hour)
		time.Sleep(2 * time.Hour)
		s := scheduled(t, dir)
		defer running(s)()
		pass(time.Hour)
		if b := s.NewestForTest(); time.Since(b.Time) != 4*time.Hour || b.Size != 7 {
			t.Errorf("the newest is %+v", b)
		}
		if got := at(t, dir); len(got) != 1 {
			t.Errorf("a restart makes a backup at once: %q", got)
		}
		pass(3 * time.Hour)
		if got := at(t, dir); len(got) != 2 {
			t.Errorf("the next one is not made in time: %q", got)
		}
	})
}

// counting is a Target that counts how often a backup is read.
type counting struct {
	backup.Target
	reads *int
}

func (c counting) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	*c.reads++
	return c.Target.Get(ctx, name)
}

// TestTriesThatFailReadTheNewestBackupOnceInEvery: each time can be a download.
func TestTriesThatFailReadTheNewestBackupOnceInEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduled(t, t.TempDir())
		during(s, time.Hour)
		whole, reads := s.Make, 0
		s.Target = counting{s.Target, &reads}
		s.Make = func(context.Context, *os.File) (backup.Content, error) {
			return backup.Content{}, errors.New("no luck")
		}
		during(s, 24*time.Hour)
		if reads < 3 || reads > 5 {
			t.Errorf("it was read %d times in 24 hours, want once in each 6", reads)
		}
		wantCheck(t, s, false, "no luck")
		s.Make, reads = whole, 0
		during(s, 13*time.Hour)
		if reads != 2 { // of those made at the begin and after 6 hours, each before the next one
			t.Errorf("while backups are made, the newest is read %d times in 13 hours, want 2", reads)
		}
	})
}

func TestMissingAndOldBackupsFailTheCheck(t *testing.T) {
	scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
		whole, broken := s.Make, new(atomic.Bool)
		s.Make = func(ctx context.Context, to *os.File) (backup.Content, error) {
			if broken.Load() {
				return backup.Content{}, errors.New("no luck")
			}
			return whole(ctx, to)
		}
		broken.Store(true)
		defer running(s)()
		pass(time.Hour)
		wantCheck(t, s, false, "there is no whole backup in "+dir, "no luck")
		if line := s.Line(); line != "No backup yet." {
			t.Errorf("the line says %q", line)
		}
		broken.Store(false)
		pass(time.Hour)
		wantCheck(t, s, false)
		broken.Store(true)
		pass(12 * time.Hour)
		wantCheck(t, s, true, "no luck", "1 KiB")
		pass(24 * time.Hour)
		wantCheck(t, s, false, "older than backup.max_age (24h0m0s)", "no luck")
		if got := at(t, dir); len(got) > 6 {
			t.Errorf("tries leave files: %q", got)
		}
	})
}

// TestDamagedNewestBackupIsFound damages the newest backup where it lies: the one before it is the newest whole one
// then, and stays however many damaged ones come after it.
func TestDamagedNewestBackupIsFound(t *testing.T) {
	scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
		s.Keep = 1
		holds(s, "one", 1)
		begun := time.Now()
		during(s, time.Hour)
		for i, text := range []string{"", "cut of one"} { // newer, and not whole: one with 0 bytes
			name := backup.NameOf(begun.Add(time.Duration(i+1)*time.Minute), 1)
			harness.Must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		s = scheduled(t, dir)
		s.Keep = 1
		stop := running(s)
		pass(time.Minute)
		if b := s.NewestForTest(); !b.Time.Equal(begun.UTC()) {
			t.Errorf("the newest whole one is %+v", b)
		}
		wantCheck(t, s, true, "is damaged and does not count")
		stop()
		s = scheduled(t, dir)
		s.Keep = 1
		holds(s, "one", 2)
		defer running(s)()
		pass(6 * time.Hour)
		left, made := backup.NameOf(begun.Add(time.Minute), 1), backup.NameOf(begun.Add(6*time.Hour), 2)
		if got := at(t, dir); !slices.Equal(got, []string{left, made}) {
			t.Errorf("the folder has %q, want the new one, and what is of no known database", got)
		}
		wantCheck(t, s, true, "damaged and not known to be of this database, are not removed: 1 with", left)
	})
}

// TestBackupOfTheFutureFailsTheCheckAndIsReplaced: nobody knows how old it is, and what is made after it must be newer
// than it by its name.
func TestBackupOfTheFutureFailsTheCheckAndIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ahead := time.Now().Add(1000 * time.Hour)
		harness.Must(t, os.WriteFile(filepath.Join(dir, backup.NameOf(ahead, 1)), []byte("whole"), 0o600))
		s := scheduled(t, dir)
		s.Keep = 1
		stop := running(s)
		pass(13 * time.Hour)
		newest := backup.NameOf(ahead.Add(3*time.Second), 3) // the third after 12 hours
		if got := at(t, dir); !slices.Equal(got, []string{newest}) {
			t.Errorf("the folder has %q, want %q", got, newest)
		}
		wantCheck(t, s, false, newest, "its time is in the future, so a clock was wrong; its age is not known")
		if line := s.Line(); !strings.Contains(line, "in the future") {
			t.Errorf("the line says %q", line)
		}
		stop()
		harness.Must(t, os.Remove(filepath.Join(dir, newest)))
		defer running(s)()
		pass(time.Minute)
		wantCheck(t, s, false)
	})
}

// TestBackupsThatWereMovedAwayAreMissedSoon: the check asks for that, and goes on until the next look.
func TestBackupsThatWereMovedAwayAreMissedSoon(t *testing.T) {
	for name, c := range map[string]struct {
		made    time.Duration // after the start
		content string
		warns   bool
		says    string
	}{
		"of the future":       {1000 * time.Hour, "whole of one", false, "move away the backups of the future"},
		"of another database": {-time.Hour, "whole of another", true, "restore one, or move them away"},
	} {
		t.Run(name, func(t *testing.T) {
			scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
				holds(s, "one", 2)
				made := backup.NameOf(time.Now().Add(c.made), 1)
				harness.Must(t, os.WriteFile(filepath.Join(dir, made), []byte(c.content), 0o600))
				reads := 0
				s.Target = counting{s.Target, &reads}
				defer running(s)()
				pass(2 * time.Hour)
				wantCheck(t, s, c.warns, c.says)
				if reads > 2 { // of what was there, and of what is the newest since
					t.Errorf("in two hours %d backups are read", reads)
				}
				for _, name := range at(t, dir) {
					harness.Must(t, os.Remove(filepath.Join(dir, name)))
				}
				pass(16 * time.Minute)
				wantCheck(t, s, false)
			})
		})
	}
}

func TestBackupIsMadeSoonAfterTheClockIsSetForward(t *testing.T) {
	scheduling(t, func(t *testing.T, s *backup.Scheduler, _ string) {
		var forward atomic.Int64 // as when a machine wakes up
		s.SetForwardForTest(func() time.Duration { return time.Duration(forward.Load()) })
		defer running(s)()
		pass(time.Hour)
		forward.Store(int64(48 * time.Hour))
		wantCheck(t, s, false, "older than backup.max_age")
		pass(2 * time.Minute)
		wantCheck(t, s, false)
	})
}

func TestMissingFolderIsToldAndFoundWhenItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "later")
		s := scheduled(t, dir)
		defer running(s)()
		pass(time.Minute)
		wantCheck(t, s, false, "no backup is known; the last try failed: listing the backups in "+dir, "no such file", "mount this folder, or make it")
		harness.Must(t, os.Mkdir(dir, 0o700))
		pass(20 * time.Minute)
		wantCheck(t, s, false)
	})
}

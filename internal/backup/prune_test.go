package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// holds gives a Scheduler another database, whose next transaction is this one.
func holds(s *backup.Scheduler, identity string, transaction uint64) {
	s.State = func() (string, uint64) { return identity, transaction - 1 }
	s.Make = func(_ context.Context, to *os.File) (backup.Content, error) {
		n, err := fmt.Fprintf(to, "whole %d of %s", transaction, identity)
		transaction++
		return backup.Content{Identity: identity, Transaction: transaction - 1, Size: int64(n)}, err
	}
}

// pass lets so much time pass, and what is to be done in it be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// during runs s for so long.
func during(s *backup.Scheduler, d time.Duration) {
	stop := running(s)
	pass(d)
	stop()
}

func countOf(t *testing.T, dir, text string) (n int) {
	t.Helper()
	for _, name := range at(t, dir) {
		content := harness.Read(t, filepath.Join(dir, name))
		if strings.Contains(content, text) {
			n++
		}
	}
	return n
}

// TestOtherDatabaseOrStateRemovesNoBackupOfALostOne also when its transactions have passed those of the lost one, as they
// do not where an old copy was put in its place, and after restarts, each of which knows of the lost one only what lies
// there.
func TestOtherDatabaseOrStateRemovesNoBackupOfALostOne(t *testing.T) {
	for name, c := range map[string]struct {
		identity    string
		transaction uint64
	}{
		"another, with a lower transaction": {"new", 1},
		"another, with a higher one":        {"new", 10000},
		"an older state":                    {"lost", 7},
	} {
		t.Run(name, func(t *testing.T) {
			scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
				holds(s, "lost", 5000)
				during(s, 30*time.Hour)
				for i := range 3 {
					s = scheduled(t, dir)
					holds(s, c.identity, c.transaction+uint64(100*i))
					during(s, 30*time.Hour)
				}
				if lost, all := countOf(t, dir, "whole 500"), len(at(t, dir)); lost != 3 || all != 6 {
					t.Errorf("there are %d of the lost state and %d in all, want 3 and 6", lost, all)
				}
				wantCheck(t, s, true, "have changes that this database does not have (newest: accounts-20000102T",
					"they are kept: restore one, or move them away")
			})
		})
	}
}

// TestBackupsThatTheDatabaseDoesNotContinueDoNotCount tests that a database has a backup of its own as soon as it is
// served, whatever lies there of a lost one or of a later state.
func TestBackupsThatTheDatabaseDoesNotContinueDoNotCount(t *testing.T) {
	for name, identity := range map[string]string{"of another database": "new", "of a later state": "lost"} {
		for _, transaction := range []uint64{7, 10001} {
			scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
				holds(s, "lost", 10000)
				during(s, time.Hour)
				lost := at(t, dir)[0]
				s = scheduled(t, dir)
				holds(s, identity, transaction)
				whole := s.Make
				var hasRoom atomic.Bool
				s.Make = func(ctx context.Context, to *os.File) (backup.Content, error) {
					if !hasRoom.Load() {
						return backup.Content{}, errors.New("no space left on device")
					}
					return whole(ctx, to)
				}
				defer running(s)()
				synctest.Wait()
				if continues := identity == "lost" && transaction == 10001; continues {
					wantCheck(t, s, false)
					return
				}
				wantCheck(t, s, false, "there is no whole backup in "+dir+" but those of another database, or of a later state of "+
					"this one (newest: "+lost+")", "no space left on device")
				hasRoom.Store(true)
				pass(2 * time.Minute)
				if own := s.NewestForTest(); own.Transaction != transaction || len(at(t, dir)) != 2 {
					t.Errorf("%s, transaction %d: the newest backup is %v of %q", name, transaction, own, at(t, dir))
				}
				wantCheck(t, s, true, "have changes that this database does not have (newest: "+lost+")")
			})
		}
	}
}

// TestBackupReplacesNoneOfAnotherDatabase made in the same second, with the same transaction.
func TestBackupReplacesNoneOfAnotherDatabase(t *testing.T) {
	scheduling(t, func(t *testing.T, _ *backup.Scheduler, dir string) {
		for _, identity := range []string{"lost", "new", "newer"} {
			s := scheduled(t, dir)
			holds(s, identity, 3)
			during(s, time.Millisecond)
		}
		if lost := countOf(t, dir, "of lost"); lost != 1 || len(at(t, dir)) != 3 {
			t.Errorf("the folder has %q, %d of the lost database", at(t, dir), lost)
		}
	})
}

// TestTwoDatabasesWithOnePlaceHaveTheirOwnBackups also when one always finds a new one of the other.
func TestTwoDatabasesWithOnePlaceHaveTheirOwnBackups(t *testing.T) {
	scheduling(t, func(t *testing.T, one *backup.Scheduler, dir string) {
		two := scheduled(t, dir)
		holds(one, "one", 5)
		holds(two, "two", 1000)
		defer running(one)()
		pass(3 * time.Hour)
		defer running(two)()
		pass(30 * time.Hour)
		for own, s := range map[string]*backup.Scheduler{"of one": one, "of two": two} {
			if n := countOf(t, dir, own); n != 3 || s.MadeForTest() < 5 {
				t.Errorf("%d are there %s, and %d were made", n, own, s.MadeForTest())
			}
			wantCheck(t, s, true, "have changes that this database does not have (newest: ")
		}
		if newest := one.NewestForTest(); newest.Transaction >= 1000 {
			t.Errorf("the newest of the first database is said to be %v", newest)
		}
	})
}

// TestRestartsBesideAnotherDatabaseMakeNoBackups before one is due: else some restarts would remove all old ones.
func TestRestartsBesideAnotherDatabaseMakeNoBackups(t *testing.T) {
	for name, transaction := range map[string]uint64{"with a lower transaction": 5, "with a higher one": 1000} {
		t.Run(name, func(t *testing.T) {
			scheduling(t, func(t *testing.T, own *backup.Scheduler, dir string) {
				other := scheduled(t, dir)
				holds(own, "own", transaction)
				holds(other, "other", 500)
				during(own, 25*time.Hour)
				during(other, 3*time.Hour)
				before := at(t, dir)
				for range 5 {
					own = scheduled(t, dir)
					holds(own, "own", transaction+10)
					during(own, time.Minute)
				}
				if after := at(t, dir); !slices.Equal(after, before) {
					t.Errorf("%q became %q", before, after)
				}
				wantCheck(t, own, true, "have changes that this database does not have (newest: ")
			})
		})
	}
}

// TestBackupWithDamagedAccountsRemovesNone: an older one may have the accounts whole.
func TestBackupWithDamagedAccountsRemovesNone(t *testing.T) {
	scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
		s.Keep = 1
		during(s, time.Hour)
		whole := s.Make
		s.Make = func(ctx context.Context, to *os.File) (backup.Content, error) {
			content, err := whole(ctx, to)
			content.Damaged = 1
			return content, err
		}
		during(s, 24*time.Hour)
		if got := at(t, dir); len(got) != 5 {
			t.Errorf("the folder has %q", got)
		}
		s.Make = whole
		during(s, 6*time.Hour)
		if got := at(t, dir); len(got) != 1 {
			t.Errorf("after a backup without damage the folder has %q", got)
		}
	})
}

// TestOnlyBackupsOfTheDatabaseAreRemoved tests that of the backups beyond Keep, damaged ones of another or an unknown
// database stay.
func TestOnlyBackupsOfTheDatabaseAreRemoved(t *testing.T) {
	scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
		s.Keep = 1
		begun := time.Now()
		old := map[string]string{}
		for i, text := range []string{"", "cut", "cut of lost", "cut of one", "whole of one", "whole of archived"} {
			name := backup.NameOf(begun.Add(-time.Duration(100-i)*time.Hour), 1)
			old[text] = name
			harness.Must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		var log harness.Buffer
		s.Log = slog.New(slog.NewTextHandler(&log, nil))
		s.Target = refusing{s.Target, old["whole of archived"]}
		holds(s, "one", 5)
		during(s, time.Minute)
		damaged := at(t, dir)[len(at(t, dir))-1] // this process knows of which database it was
		harness.Must(t, os.WriteFile(filepath.Join(dir, damaged), []byte("cut"), 0o600))
		stop := running(s)
		defer func() { stop() }()
		pass(24 * time.Hour)
		left := []string{old[""], old["cut"], old["cut of lost"], old["whole of archived"]}
		newest := s.NewestForTest()
		if got := at(t, dir); !slices.Equal(got, append(left, newest.Name)) {
			t.Errorf("the folder has %q, want %q and %s", got, left, newest.Name)
		}
		wantCheck(t, s, true, "not removed: 4 with 1 KiB, the newest is "+old["whole of archived"], "move them away")
		for _, name := range left {
			if n := strings.Count(log.String(), "not removed\" backup="+name); n != 1 {
				t.Errorf("the log names %s %d times: %s", name, n, log.String())
			}
		}
		for _, name := range left {
			harness.Must(t, os.Remove(filepath.Join(dir, name)))
		}
		pass(16 * time.Minute)
		wantCheck(t, s, false)
	})
}

// damaging is a Target that damages all that it is given.
type damaging struct {
	backup.Target
	dir, text string
}

func (d damaging) Put(ctx context.Context, name string, content *os.File) error {
	err := d.Target.Put(ctx, name, content)
	return errors.Join(err, os.WriteFile(filepath.Join(d.dir, name), []byte(d.text), 0o600))
}

// TestDamagingPlaceIsNotFilled tests a target that damages each backup at once.
func TestDamagingPlaceIsNotFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for range 3 {
			s := scheduled(t, dir)
			s.Target = damaging{s.Target, dir, "cut"}
			holds(s, "one", 1)
			during(s, 10*24*time.Hour)
		}
		if got := at(t, dir); len(got) > 3*2*3 {
			t.Errorf("the folder has %d backups", len(got))
		}
	})
}

// TestDamagingPlaceFailsTheCheckAndTheOnlyWholeBackupStays, though each backup that is made there is young.
func TestDamagingPlaceFailsTheCheckAndTheOnlyWholeBackupStays(t *testing.T) {
	for _, keep := range []int{1, 3} {
		scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
			s.Keep = keep
			holds(s, "one", 1)
			begun := time.Now()
			during(s, time.Hour)
			good := s.Target
			s.Target = damaging{good, dir, "cut"}
			stop := running(s)
			for range 50 { // at any time
				pass(5 * time.Hour)
				if age := time.Since(begun); age > s.MaxAge+s.Every {
					wantCheck(t, s, false, "older than backup.max_age", "damaged and does not count")
				}
				if whole, cut := countOf(t, dir, "whole 1 of one"), countOf(t, dir, "cut"); whole != 1 || cut > 2*keep {
					t.Errorf("of a keep of %d %d whole and %d damaged backups are left: %q", keep, whole, cut, at(t, dir))
				}
			}
			stop()
			s.Target = good
			during(s, 6*time.Hour)
			if got := at(t, dir); keep == 1 && len(got) != 1 {
				t.Errorf("the folder has %q, want the newest alone", got)
			}
			wantCheck(t, s, false)
		})
	}
}

// TestPlaceThatGivesNothingBackIsNotFilled tests a Keep of 1 and a target that only takes backups.
func TestPlaceThatGivesNothingBackIsNotFilled(t *testing.T) {
	scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
		s.Keep = 1
		holds(s, "one", 1)
		during(s, time.Hour)
		good := s.Target
		s.Target = refusing{good, "accounts-"}
		during(s, 6*time.Hour)
		if countOf(t, dir, "whole 1 of one") != 1 {
			t.Errorf("the folder has %q without the one that is known to be whole", at(t, dir))
		}
		wantCheck(t, s, true, "cannot be read back: it is archived")
		during(s, 10*24*time.Hour)
		if got := at(t, dir); len(got) > 4 {
			t.Errorf("the folder has %d backups", len(got))
		}
		s.Target = good
		during(s, 6*time.Hour)
		if got := at(t, dir); len(got) != 1 {
			t.Errorf("the folder has %q, want the newest alone", got)
		}
		wantCheck(t, s, false)
	})
}

// refusing is a Target that cannot give the backups whose names begin so.
type refusing struct {
	backup.Target
	name string
}

func (r refusing) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if strings.HasPrefix(name, r.name) {
		return nil, errors.New("it is archived")
	}
	return r.Target.Get(ctx, name)
}

// unlisted is a Target whose key loses the right to list as the first backup is stored.
type unlisted struct {
	backup.Target
	lost *bool
}

func (u unlisted) List(ctx context.Context) ([]backup.Backup, error) {
	if *u.lost {
		return nil, errors.New("AccessDenied")
	}
	return u.Target.List(ctx)
}

func (u unlisted) Put(ctx context.Context, name string, content *os.File) error {
	*u.lost = true
	return errors.Join(u.Target.Put(ctx, name, content), backup.ErrNotListed)
}

func TestBackupThatIsStoredAndNotListedCountsAndIsAWarning(t *testing.T) {
	scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
		lost := false
		s.Target = unlisted{s.Target, &lost}
		defer running(s)()
		pass(30 * time.Second)
		newest := at(t, dir)[0]
		wantCheck(t, s, true, "the newest backup, "+newest+", is 30s old", "it is stored, and the server refuses to list it")
		if n := s.MadeForTest(); n != 1 || s.NewestForTest().Name != newest {
			t.Errorf("%d are made, and the newest is %+v; want one, %s", n, s.NewestForTest(), newest)
		}
		pass(time.Hour)
		wantCheck(t, s, true, "AccessDenied")
		pass(24 * time.Hour)
		wantCheck(t, s, false, "older than backup.max_age", "AccessDenied")
		if got := at(t, dir); len(got) != 1 {
			t.Errorf("without a list there are made %q", got)
		}
	})
}

// TestUnreadableNewestBackupStopsNoOther, and it does not count: the whole one before it stays.
func TestUnreadableNewestBackupStopsNoOther(t *testing.T) {
	scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
		during(s, 13*time.Hour)
		three := at(t, dir)
		s = scheduled(t, dir)
		s.Keep = 2
		holds(s, "", 4)
		s.Target = refusing{s.Target, three[2]}
		during(s, time.Hour)
		wantCheck(t, s, true, "KiB; the last try failed: the newest backup", "cannot be verified: it is archived")
		during(s, 6*time.Hour)
		if got := at(t, dir); len(got) != 3 || !slices.Equal(got[:2], three[1:]) {
			t.Errorf("the folder has %q after %q", got, three)
		}
		wantCheck(t, s, false)
	})
}

// TestStopWaitsForNoDisk that does not answer while a backup is verified.
func TestStopWaitsForNoDisk(t *testing.T) {
	scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
		answer := make(chan struct{})
		defer close(answer)
		harness.Must(t, os.WriteFile(filepath.Join(dir, backup.NameOf(time.Now(), 1)), []byte("whole"), 0o600))
		s.Verify = func(context.Context, *os.File) (backup.Content, error) { <-answer; return backup.Content{}, nil }
		stop := running(s)
		synctest.Wait()
		wantCheck(t, s, true, "it is being read to verify it")
		begun := time.Now()
		if stop(); time.Since(begun) > 0 {
			t.Errorf("the stop waits for the disk: %s", time.Since(begun))
		}
	})
}

func TestFailureEndsWithALookWithoutOne(t *testing.T) {
	scheduling(t, func(t *testing.T, s *backup.Scheduler, dir string) {
		if line := s.Line(); line != "The backups are not listed yet." {
			t.Errorf("the line says %q", line)
		}
		during(s, time.Hour)
		harness.Must(t, os.Rename(dir, dir+".away"))
		stop := running(s)
		defer func() { stop() }()
		pass(30 * time.Second)
		wantCheck(t, s, true, "no such file")
		harness.Must(t, os.Rename(dir+".away", dir))
		pass(time.Minute)
		wantCheck(t, s, false)
		if want := "Last backup accounts-20000101T000000Z-1.db, 1h1m30s ago, 1 KiB."; s.Line() != want {
			t.Errorf("the line says %q, want %q", s.Line(), want)
		}
	})
}

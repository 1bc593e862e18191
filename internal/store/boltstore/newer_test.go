package boltstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
)

// wantUndecided wants CheckRecords to name the newer copy and what to do, or, with "", to pass. Nothing else changes.
func wantUndecided(t *testing.T, s *boltstore.Store, newer string) {
	t.Helper()
	must(t, s.Check(t.Context()))
	err := s.CheckRecords(t.Context())
	if newer == "" {
		must(t, err)
	} else {
		wantWords(t, err, newer, "move the copy away")
	}
	must(t, putName(t, s, "10000", "served on"))
}

// setBack makes a closed database that was set back to an earlier state, with its later state beside it.
func setBack(t *testing.T) (path, later string) {
	t.Helper()
	path = closed(t, 10)
	backup := readFile(t, path)
	s := openAt(t, path)
	for range 3 {
		must(t, putName(t, s, "10000", "later"))
	}
	storetest.Close(t, s)
	later = path + ".rescued-20261122T175605.000Z"
	must(t, os.Rename(path, later))
	writeFile(t, path, backup)
	return path, later
}

func restored(t *testing.T) (s *boltstore.Store, path, later string) {
	t.Helper()
	path, later = setBack(t)
	return openAt(t, path), path, later
}

func TestNewerCopyIsSaidUntilSomebodyHasDecided(t *testing.T) {
	t.Parallel()
	s, path, later := restored(t)
	txid := metaAt(t, later).TxID
	said := fmt.Sprintf("%s has transaction %d of this database, which a start found at transaction %d", later, txid, txid-3)
	wantUndecided(t, s, said)
	for range 10 { // it has a later transaction than the copy now, and still not the same accounts
		must(t, putName(t, s, "10001", "x"))
	}
	storetest.Close(t, s)
	s = openAt(t, path)
	wantUndecided(t, s, said)
	must(t, os.Rename(later, later+".done"))
	must(t, os.Rename(later+".done", filepath.Join(t.TempDir(), "done")))
	wantUndecided(t, s, "")
	storetest.Close(t, s)
	s = openAt(t, path)
	wantUndecided(t, s, "")
	closesIntact(t, s, path)
}

// What a start can make anew stops none.
func TestDamagedListOfNewerCopiesIsMadeAnew(t *testing.T) {
	t.Parallel()
	s, path, later := restored(t)
	must(t, s.CommitForTest(flip(boltfile.MetaBucket, boltfile.CopiesKey)))
	storetest.Close(t, s)
	s = openAt(t, path)
	wantUndecided(t, s, later)
	closesIntact(t, s, path)
}

func TestNewerCopyThatIsPutAtThePathIsServed(t *testing.T) {
	t.Parallel()
	s, path, later := restored(t)
	storetest.Close(t, s)
	must(t, os.Rename(later, path))
	s = openAt(t, path)
	wantName(t, s, "10000", "later")
	wantUndecided(t, s, "")
}

func TestOtherFilesBesideTheDatabaseAreNoNewerCopies(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(t *testing.T, path, beside string){
		"an older copy": func(t *testing.T, path, beside string) {
			b := readFile(t, path)
			s := openAt(t, path)
			must(t, putName(t, s, "10000", "x"))
			storetest.Close(t, s)
			writeFile(t, beside, b)
		},
		"another database": func(t *testing.T, _, beside string) {
			s, other := seeded(t, 3)
			for range 20 {
				must(t, putName(t, s, "10000", "x"))
			}
			storetest.Close(t, s)
			must(t, os.Rename(other, beside))
		},
		"garbage": func(t *testing.T, _, beside string) { writeFile(t, beside, []byte(strings.Repeat("x", 20_000))) },
	} {
		t.Run(name, func(t *testing.T) {
			path := closed(t, 10)
			make(t, path, path+".rescued-1")
			wantUndecided(t, openAt(t, path), "")
		})
	}
}

func TestNewerCopyInAnEarlierRescueDirIsNotForgotten(t *testing.T) {
	t.Parallel()
	s, path, later := restored(t)
	storetest.Close(t, s)
	dir := t.TempDir()
	copied := filepath.Join(dir, filepath.Base(later))
	must(t, os.Rename(later, copied))
	for _, dir := range []string{dir, "", ""} {
		s, _, err := tryOpen(t, path, boltstore.Options{RescueDir: dir})
		must(t, err)
		wantUndecided(t, s, copied)
		storetest.Close(t, s)
	}
	must(t, os.Rename(dir, dir+"-unmounted"))
	s = openAt(t, path)
	wantUndecided(t, s, "")
	storetest.Close(t, s)
	must(t, os.Rename(dir+"-unmounted", dir))
	s = openAt(t, path)
	wantUndecided(t, s, copied)
	storetest.Close(t, s)
	must(t, os.Remove(copied))
	wantUndecided(t, openAt(t, path), "")
}

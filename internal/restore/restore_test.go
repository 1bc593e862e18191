package restore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"accountservice/internal/backup"
	"accountservice/internal/restore"
	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/tests/harness"
)

// database returns the bytes of a closed database with so many accounts.
func database(t *testing.T, accounts int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts.db")
	s, err := boltstore.Open(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second})
	harness.Must(t, err)
	_, err = s.Seed(t.Context(), store.Fakes(accounts))
	harness.Must(t, err)
	_, err = s.Put(t.Context(), "10000", store.Draft{Name: "Person_0"}, store.Preconditions{Idempotency: &store.Idempotency{
		Key: "key", Answer: func(store.Written) []byte { return []byte("the answer") }}})
	harness.Must(t, err)
	harness.Must(t, s.Close(t.Context()))
	b := []byte(harness.Read(t, path))
	return b
}

var day = time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)

// folder makes a folder of backups, each an hour older than the one before.
func folder(t *testing.T, newestFirst ...[]byte) backup.Target {
	t.Helper()
	dir := t.TempDir()
	for i, b := range newestFirst {
		name := backup.NameOf(day.Add(-time.Duration(i)*time.Hour), uint64(100-i))
		harness.Must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	target, err := backup.Open(dir, backup.S3{})
	harness.Must(t, err)
	return target
}

// observed fetches and returns how many candidates were damaged.
func observed(t *testing.T, ctx context.Context, candidates []restore.Candidate, path string) (f *restore.Fetched, damaged int, err error) {
	t.Helper()
	f, err = restore.Fetch(ctx, candidates, path, restore.Observer{
		Damaged: func(restore.Candidate, error) { damaged++ }, Step: func(string) {},
	})
	if f != nil {
		t.Cleanup(f.Replacement.Discard)
	}
	return f, damaged, err
}

// wantEmpty wants nothing in the folder of a database.
func wantEmpty(t *testing.T, path string) {
	t.Helper()
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

func TestDamagedBackupsArePassedOver(t *testing.T) {
	good, older := database(t, 3), database(t, 2)
	record := []byte(strings.ReplaceAll(string(good), "Person_1", "Person_7")) // one account is damaged
	answer := []byte(strings.ReplaceAll(string(good), "the answer", "the Answer"))
	page := bytes.Clone(good)
	at := bytes.LastIndex(page, []byte("Person_1"))
	clear(page[at-at%os.Getpagesize():][:16])
	meta := bytes.Clone(good)
	newest, err := boltfile.Inspect(bytes.NewReader(good), int64(len(good)))
	harness.Must(t, err)
	meta[int64(newest.TxID+1)%2*newest.PageSize+boltfile.HeaderSize] ^= 1 // nothing is lost by it
	for name, c := range map[string]struct {
		backups       [][]byte
		accounts, bad int
	}{
		"none is damaged": {[][]byte{good, older}, 3, 0},
		"the newest is":   {[][]byte{page, older}, 2, 1},
		"only a record":   {[][]byte{record, older}, 3, 0},
		"only an answer":  {[][]byte{answer, older}, 3, 0},
		"only older meta": {[][]byte{meta, older}, 3, 0},
		"two are":         {[][]byte{nil, good[:12288], older}, 2, 2},
		"newest is gzip":  {[][]byte{[]byte("\x1f\x8b\x08"), older}, 2, 1},
		"all are":         {[][]byte{nil, page}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "accounts.db")
			candidates, err := restore.At(t.Context(), folder(t, c.backups...))
			harness.Must(t, err)
			f, damaged, err := observed(t, t.Context(), candidates, path)
			switch {
			case damaged != c.bad:
				t.Errorf("%d damaged, want %d (%v)", damaged, c.bad, err)
			case c.accounts == 0:
				if !errors.Is(err, boltstore.ErrDamaged) {
					t.Errorf("got %v, want ErrDamaged", err)
				}
				wantEmpty(t, path)
			case err != nil || f.Database.Accounts != c.accounts || !f.Made.Equal(day.Add(-time.Duration(c.bad)*time.Hour)):
				t.Errorf("%+v, %v; want %d accounts", f, err, c.accounts)
			}
		})
	}
}

func TestBackupThatCannotBeReadIsNotPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	good := database(t, 3)
	refused := errors.New("403 Forbidden")
	for name, open := range map[string]func(context.Context) (io.ReadCloser, error){
		"refused": func(context.Context) (io.ReadCloser, error) { return nil, refused },
		"cut": func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(string(good[:9000])), iotest.ErrReader(refused))), nil
		},
	} {
		older, err := restore.At(t.Context(), folder(t, good))
		harness.Must(t, err)
		f, damaged, err := observed(t, t.Context(), append([]restore.Candidate{{Name: "newest", Open: open}}, older...), path)
		if f != nil || damaged > 0 || !errors.Is(err, refused) {
			t.Errorf("%s: %+v, %d damaged, %v; want the error of the newest", name, f, damaged, err)
		}
		wantEmpty(t, path)
	}
}

func TestFetchAsksForRoomBeforeItWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	_, _, err := observed(t, t.Context(), []restore.Candidate{{Name: "huge", Size: 1 << 60,
		Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(iotest.ErrReader(errors.New("it was read"))), nil
		}}}, path)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want no room", err)
	}
	wantEmpty(t, path)
}

func TestFileThatAServiceHasOpenIsNotRestored(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source.db")
	s, err := boltstore.Open(t.Context(), boltstore.Options{Path: source, OpenTimeout: time.Second})
	harness.Must(t, err)
	path := filepath.Join(t.TempDir(), "accounts.db")
	c, err := restore.File(source)
	harness.Must(t, err)
	if _, _, err = observed(t, t.Context(), []restore.Candidate{c}, path); err == nil || !strings.Contains(err.Error(), "accountservice backup") {
		t.Errorf("got %v, want the cure", err)
	}
	wantEmpty(t, path)
	harness.Must(t, s.Close(t.Context()))
	_, _, err = observed(t, t.Context(), []restore.Candidate{c}, path)
	harness.Must(t, err)
}

func TestFetchEndsWithItsContextWhateverTheDiskDoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	hung := make(chan struct{})
	defer close(hung)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("time is up"))
	defer cancel()
	_, _, err := observed(t, ctx, []restore.Candidate{{Name: "hung", Open: func(context.Context) (io.ReadCloser, error) {
		<-hung
		return nil, errors.New("hung")
	}}}, path)
	if err == nil || err.Error() != "time is up" {
		t.Errorf("got %v, want the cause of the end", err)
	}
}

func TestNoticeIsAWarningUntilItIsAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	check := restore.Check(path)
	harness.Must(t, check(t.Context()))
	n := restore.Notice{Backup: "s3://b/p/x", Made: day, Restored: day.Add(90 * time.Minute)}
	harness.Must(t, n.Leave(path))
	harness.Must(t, n.Leave(path)) // a start that was killed after it
	var warning interface{ Warning() string }
	if err := check(t.Context()); !errors.As(err, &warning) || !strings.Contains(warning.Warning(), "s3://b/p/x") ||
		!strings.Contains(warning.Warning(), "up to 1h30m0s before") {
		t.Errorf("got %v, want a warning with the age", err)
	}
	n.Made = n.Restored.Add(time.Hour)
	if text := n.String(); !strings.Contains(text, "in the future because a clock was wrong") || strings.Contains(text, "before") {
		t.Errorf("of a backup of the future: %s", text)
	}
	harness.Must(t, restore.Acknowledge(path))
	harness.Must(t, check(t.Context()))
	harness.Must(t, restore.Acknowledge(path))
	wantEmpty(t, path)
	harness.Must(t, os.WriteFile(path+".restored", []byte("{"), 0o600))
	if err := check(t.Context()); err == nil || errors.As(err, &warning) || !strings.Contains(err.Error(), "--acknowledge") {
		t.Errorf("an unreadable notice: %v", err)
	}
}

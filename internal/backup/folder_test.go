package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"accountservice/internal/backup"
	"accountservice/tests/harness"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func openFolder(t *testing.T, dir string) backup.Target {
	t.Helper()
	target, err := backup.Open(dir, backup.S3{})
	harness.Must(t, err)
	return target
}

// file returns an open file with this content.
func file(t *testing.T, dir string, content []byte) *os.File {
	t.Helper()
	f, err := os.CreateTemp(dir, "content")
	if err == nil {
		_, err = f.Write(content)
	}
	harness.Must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// read returns all of a backup.
func read(t *testing.T, target backup.Target, name string) ([]byte, error) {
	t.Helper()
	from, err := target.Get(t.Context(), name)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	return io.ReadAll(from)
}

// holdsTheContract checks what every target must do.
func holdsTheContract(t *testing.T, target backup.Target) {
	ctx := t.Context()
	if list, err := target.List(ctx); err != nil || len(list) > 0 {
		t.Fatalf("an empty target lists %v, %v", list, err)
	}
	older, newer, newest := backup.NameOf(noon, 70), backup.NameOf(noon.Add(time.Hour), 9), backup.NameOf(noon.Add(time.Hour), 10)
	for _, name := range []string{newer, older, newest} {
		harness.Must(t, target.Put(ctx, name, file(t, t.TempDir(), []byte("content of "+name))))
	}
	harness.Must(t, target.Put(ctx, older, file(t, t.TempDir(), []byte("replaced"))))
	list, err := target.List(ctx)
	want := []backup.Backup{
		{Name: newest, Time: noon.Add(time.Hour), Transaction: 10, Size: int64(len("content of " + newest))},
		{Name: newer, Time: noon.Add(time.Hour), Transaction: 9, Size: int64(len("content of " + newer))},
		{Name: older, Time: noon, Transaction: 70, Size: int64(len("replaced"))},
	}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("List gives %v, %v\nwant %v", list, err, want)
	}
	if got, err := read(t, target, older); err != nil || !bytes.Equal(got, []byte("replaced")) {
		t.Errorf("Get gives %q, %v", got, err)
	}
	for range 2 {
		if err := target.Remove(ctx, newer); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	if _, err := read(t, target, newer); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get of a removed backup gives %v", err)
	}
	for _, name := range []string{"../" + older, "accounts.db", ""} {
		if err := target.Remove(ctx, name); err == nil {
			t.Errorf("Remove takes the name %q", name)
		}
		if err := target.Put(ctx, name, file(t, t.TempDir(), nil)); err == nil {
			t.Errorf("Put takes the name %q", name)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := target.Put(ended, newer, file(t, t.TempDir(), []byte("late"))); err == nil {
		t.Error("Put goes on after its context has ended")
	}
	if _, err := read(t, target, newer); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a Put that was ended, Get gives %v", err)
	}
}

func TestFolderHoldsTheContract(t *testing.T) {
	holdsTheContract(t, openFolder(t, t.TempDir()))
}

func TestFolderIsNotCreated(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	target := openFolder(t, dir)
	if _, err := target.List(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List of no folder gives %v", err)
	}
	if err := target.Put(t.Context(), backup.NameOf(noon, 1), file(t, t.TempDir(), nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Put into no folder gives %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was created: %v", err)
	}
}

func TestStagedFileIsRenamedAndNoBackupBefore(t *testing.T) {
	dir := t.TempDir()
	target := openFolder(t, dir)
	staged, err := backup.Stage(t.Context(), target.Staging())
	harness.Must(t, err)
	defer backup.Discard(staged)
	staged.WriteString("content")
	if list, err := target.List(t.Context()); err != nil || len(list) > 0 {
		t.Fatalf("a staged file is listed: %v, %v", list, err)
	}
	harness.Must(t, target.Put(t.Context(), backup.NameOf(noon, 1), staged))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != backup.NameOf(noon, 1) {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}

func TestStageRemovesWhatAKilledProcessLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[prod]*") // a folder's name is no pattern
	harness.Must(t, os.Mkdir(dir, 0o700))
	left, err := backup.Stage(t.Context(), dir)
	harness.Must(t, err)
	left.Close() // as the kernel does for a killed process
	inUse, err := backup.Stage(t.Context(), dir)
	harness.Must(t, err)
	defer backup.Discard(inUse)
	third, err := backup.Stage(t.Context(), dir)
	harness.Must(t, err)
	defer backup.Discard(third)
	if _, err := os.Stat(left.Name()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was left is still there: %v", err)
	}
	if _, err := os.Stat(inUse.Name()); err != nil {
		t.Errorf("a file in use was removed: %v", err)
	}
}

func TestOnlyNamesOfNameOfAreBackups(t *testing.T) {
	for _, name := range []string{
		"accounts-20261129T120000Z-042.db", "accounts-20261129T120000Z-.db", "accounts-20261129T250000Z-1.db",
		"accounts-20261129T120000Z-1.db.part", "x/accounts-20261129T120000Z-1.db", "accounts-20261129T120000Z--1.db",
		"accounts-20261129T120000Z-18446744073709551616.db", "accounts.db", "",
	} {
		if b, ok := backup.ParseName(name); ok {
			t.Errorf("%q is taken for the backup %v", name, b)
		}
	}
	if b, ok := backup.ParseName("accounts-20261129T120000Z-42.db"); !ok || !b.Time.Equal(noon) || b.Transaction != 42 {
		t.Errorf("a good name gives %v, %v", b, ok)
	}
}

func TestFilesOfBackupsMadeAtOnceAreNotTakenForLeftOnes(t *testing.T) {
	dir := t.TempDir()
	var makers sync.WaitGroup
	for range 4 {
		makers.Go(func() {
			for range 500 {
				f, err := backup.Stage(t.Context(), dir)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(f.Name()); err != nil {
					t.Error(err)
				}
				backup.Discard(f)
			}
		})
	}
	makers.Wait()
}

package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// smallDisk is a folder on a file system of its own of 64 MiB.
func smallDisk(t *testing.T, kind string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	must(t, os.Mkdir(dir, 0o755))
	device, options := "tmpfs", "size=64m"
	if kind == "ext4" {
		if os.Getuid() != 0 {
			t.Skip("needs root, for a loop device")
		}
		image := dir + ".image"
		must(t, os.WriteFile(image, nil, 0o600))
		must(t, os.Truncate(image, 64<<20))
		if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
			t.Skipf("needs mkfs.ext4: %v %s", err, out)
		}
		out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
		device, options = strings.TrimSpace(string(out)), ""
		if err != nil {
			t.Skipf("needs a loop device: %s", device)
		}
		t.Cleanup(func() { exec.Command("losetup", "--detach", device).Run() })
	}
	if err := syscall.Mount(device, dir, kind, 0, options); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill takes all space that a neighbour can get.
func fill(t *testing.T, dir string) (filler string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	must(t, err)
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	must(t, f.Sync())
	return f.Name()
}

// written is how many new accounts a store takes until its disk is full, at
// most this many.
func written(t *testing.T, s *Store, most int) int {
	t.Helper()
	for i := range most {
		_, err := s.Put(t.Context(), store.ID(fmt.Sprint("full-", i)), store.Draft{Name: strings.Repeat("x", 256)}, store.Preconditions{})
		if errors.Is(err, store.ErrNoSpace) {
			return i
		}
		must(t, err)
	}
	return most
}

func TestReserveKeepsWritesGoingOnAFullDisk(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			const small = 512 << 10
			took := make(map[int64]int)
			for _, size := range []int64{0, small, 4 * small} {
				dir := smallDisk(t, kind)
				var log bytes.Buffer
				s, err := Open(t.Context(), Options{Path: filepath.Join(dir, "accounts.db"), OpenTimeout: time.Second, Reserve: size, Log: slog.New(slog.NewTextHandler(&log, nil))})
				must(t, err)
				defer s.Close(t.Context())
				_, err = s.Seed(t.Context(), store.Fakes(1000))
				must(t, err)
				before, err := s.handle().file.Stat()
				must(t, err)
				filler := fill(t, dir)
				took[size] = written(t, s, 40_000)
				if _, err := s.Get(t.Context(), "10500"); err != nil {
					t.Errorf("Get on a full disk: %v", err)
				}
				if err := s.Check(t.Context()); err != nil {
					t.Errorf("Check on a full disk: %v", err)
				}
				if m, err := boltfile.InspectFile(s.handle().file); err != nil || before.Size() > m.Size()+32<<20 {
					t.Errorf("the reserve is part of the file's size: %d bytes for %d, %v", before.Size(), m.Size(), err)
				}
				if said := strings.Contains(log.String(), "held in reserve"); said != (size > 0) {
					t.Errorf("reserve %d: log %q", size, log.String())
				}
				must(t, os.Remove(filler))
				if _, err := s.Put(t.Context(), "after", store.Draft{Name: "x"}, store.Preconditions{}); err != nil {
					t.Errorf("Put with space again: %v", err)
				}
			}
			t.Logf("new accounts on a full disk: %v", took)
			// an account of this size takes some 400 bytes, and its page is half full at worst
			if took[small] < took[0]+small>>10 || took[4*small] < took[0]+3*(took[small]-took[0]) {
				t.Errorf("new accounts on a full disk %v: the reserve does not carry them", took)
			}
		})
	}
}

func TestReserveIsMadeAgainWhenSpaceReturns(t *testing.T) {
	dir := smallDisk(t, "tmpfs")
	const size = 1 << 20
	s, err := Open(t.Context(), Options{Path: filepath.Join(dir, "accounts.db"), OpenTimeout: time.Second, Reserve: size})
	must(t, err)
	defer s.Close(t.Context())
	if free := beyond(t, s); free < size {
		t.Errorf("the file has %d bytes in reserve when it is opened, want %d", free, size)
	}
	filler := fill(t, dir)
	written(t, s, 40_000)
	if free := beyond(t, s); free > 64<<10 {
		t.Fatalf("the full disk still has %d bytes in reserve", free)
	}
	must(t, os.Remove(filler))
	for n := range 2 {
		must(t, s.update(t.Context(), nil, func(tx *bbolt.Tx) error {
			s.reserve.retry = time.Now() // ten seconds have gone by
			return tx.Bucket(boltfile.MetaBucket).Put([]byte("n"), []byte{byte(n)})
		}))
	}
	must(t, s.Close(t.Context())) // waits for the committer
	if free := beyond(t, s); free < size/4*3 {
		t.Errorf("with space again the file has %d bytes in reserve, want %d", free, size)
	}
}

// beyond is how many bytes of disk space the file has that it does not use.
func beyond(t *testing.T, s *Store) int64 {
	t.Helper()
	info, err := os.Stat(s.path)
	must(t, err)
	f, err := os.Open(s.path)
	must(t, err)
	defer f.Close()
	m, err := boltfile.InspectFile(f)
	must(t, err)
	return info.Sys().(*syscall.Stat_t).Blocks*512 - m.Size()
}

func TestFileSystemWithoutReserveIsSaidOnceAndServes(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("ramfs", dir, "ramfs", 0, ""); err != nil {
		t.Skipf("needs the right to mount a file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	var log bytes.Buffer
	s, err := Open(t.Context(), Options{Path: filepath.Join(dir, "accounts.db"), OpenTimeout: time.Second, Reserve: 1 << 20, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	defer s.Close(t.Context())
	for i := range 3 {
		if _, err := s.Put(t.Context(), store.ID(fmt.Sprint(i)), store.Draft{Name: "x"}, store.Preconditions{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "can't hold disk space in reserve"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, log.String())
	}
}

package notice_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/notice"
	"accountservice/internal/tempfile"
	"accountservice/tests/harness"
)

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
	dir := filepath.Dir(path)
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	harness.Must(t, syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	harness.Must(t, notice.Remove(path+".restored"))
}

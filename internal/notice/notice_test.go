package notice_test

import (
	"os"
	"path/filepath"
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
	harness.ReadOnly(t, filepath.Dir(path))
	harness.Must(t, notice.Remove(path+".restored"))
}

package boltfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"accountservice/internal/store/boltstore/boltfile"
)

func TestCachedReadsThePageCacheAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, make([]byte, 1<<16), 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	c, page := boltfile.OpenCached(f), make([]byte, 4096)
	if _, err := c.ReadAt(page, 0); err != nil {
		t.Skipf("the file system of %s can't tell what is cached: %v", path, err)
	}
	n, err := len(page), error(nil)
	for deadline := time.Now().Add(10 * time.Second); err == nil && time.Now().Before(deadline); {
		// the system keeps a page that it uses itself at that moment
		must(t, errors.Join(f.Sync(), boltfile.DropCache(f)))
		n, err = c.ReadAt(page, 8192)
	}
	if !errors.Is(err, boltfile.ErrNotCached) {
		t.Errorf("a page that only the disk has: %d bytes, %v", n, err)
	}
	if _, err := f.ReadAt(page, 8192); err != nil {
		t.Fatal(err)
	}
	if n, err := c.ReadAt(page, 8192); n != len(page) || err != nil {
		t.Errorf("a page that was read: %d bytes, %v", n, err)
	}
	if n, err := c.ReadAt(page, 1<<16-100); !errors.Is(err, boltfile.ErrNotCached) {
		t.Errorf("a read over the end: %d bytes, %v", n, err)
	}
}

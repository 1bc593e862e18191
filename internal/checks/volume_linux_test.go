package checks

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"accountservice/tests/harness"
)

// The mount is that of the folder itself, however a path leads to it.
func TestVolumeAsksTheKernelForTheMount(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	link := filepath.Join(t.TempDir(), "link")
	harness.Must(t, unix.Symlink(dir, link))
	for _, path := range []string{dir, link} {
		err := Volume(path)(t.Context())
		if err == nil || !strings.Contains(err.Error(), path+" is in memory (tmpfs)") {
			t.Errorf("Volume(%s) = %v, want that it is in memory", path, err)
		}
	}
}

package harness

import (
	"syscall"
	"testing"
)

// SmallDisk puts a file system of its own on the folder until the test ends, or unmount is called. The options are those
// of a tmpfs, such as size=1m. It skips a test that may not mount.
func SmallDisk(tb testing.TB, folder, options string) (unmount func()) {
	tb.Helper()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, options); err != nil {
		tb.Skipf("needs the right to mount a small file system: %v", err)
	}
	unmount = func() { syscall.Unmount(folder, syscall.MNT_DETACH) }
	tb.Cleanup(unmount)
	return unmount
}

// ReadOnly puts a folder over itself that takes no changes, until the test ends or undo is called. It skips a test that
// may not mount.
func ReadOnly(tb testing.TB, folder string) (undo func()) {
	tb.Helper()
	if err := syscall.Mount(folder, folder, "", syscall.MS_BIND, ""); err != nil {
		tb.Skipf("needs the right to mount: %v", err)
	}
	undo = func() { syscall.Unmount(folder, syscall.MNT_DETACH) }
	tb.Cleanup(undo)
	Must(tb, syscall.Mount("", folder, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	return undo
}

package checks_test

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"accountservice/internal/checks"
	"accountservice/internal/tempfile"
	"accountservice/tests/harness"
)

// shared is a folder as virtiofs shows that of a Mac: it counts blocks of 4 KiB, and is best written 1 MiB at a time.
type shared struct{ fs.Inode }

// Statfs implements fs.NodeStatfser. 4,000 KiB are free.
func (*shared) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize, out.Blocks, out.Bfree, out.Bavail = 1<<20, 4<<10, 1<<20, 1000, 1000
	return fs.OK
}

func TestRoomIsCountedInTheBlocksOfTheFileSystem(t *testing.T) {
	dir := t.TempDir()
	server, err := fs.Mount(dir, &shared{}, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	if err != nil {
		t.Skipf("FUSE cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { server.Unmount() })
	if err := checks.Disk(dir, 64<<20)(t.Context()); err == nil || !strings.Contains(err.Error(), "has 3.9 MiB free") {
		t.Errorf("Disk = %v, want 3.9 MiB", err)
	}
	folder, err := os.Open(dir)
	harness.Must(t, err)
	defer folder.Close()
	if err := tempfile.CheckRoom(folder, 64<<20); err == nil {
		t.Error("there is room for 64 MiB, want it for 4")
	}
	harness.Must(t, tempfile.CheckRoom(folder, 3<<20))
}

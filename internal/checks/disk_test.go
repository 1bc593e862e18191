package checks_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"accountservice/internal/checks"
	"accountservice/tests/harness"
)

func TestDiskCountsNoSpaceThatIsKeptForRoot(t *testing.T) {
	dir := t.TempDir()
	var fs unix.Statfs_t
	harness.Must(t, unix.Statfs(dir, &fs))
	ours, all := int64(fs.Bavail)*int64(fs.Bsize), int64(fs.Bfree)*int64(fs.Bsize)
	if all-ours < 64<<20 {
		t.Skipf("needs a file system that keeps space for root: %d bytes free, %d for us", all, ours)
	}
	if err := checks.Disk(dir, ours+(all-ours)/2)(t.Context()); err == nil {
		t.Errorf("Disk passes with %d bytes for us, counting the %d that are free for root too", ours, all)
	}
	if err := checks.Disk(dir, ours-ours/2)(t.Context()); err != nil {
		t.Errorf("Disk = %v with %d bytes for us", err, ours)
	}
}

func TestDiskSeesThatInodesAreUsedUp(t *testing.T) {
	dir := t.TempDir()
	harness.SmallDisk(t, dir, "size=1m,nr_inodes=20")
	disk := checks.Disk(dir, 1)
	if err := disk(t.Context()); err != nil {
		t.Errorf("Disk = %v with 19 free inodes", err)
	}
	for i := range 15 {
		harness.Must(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600))
	}
	if err := disk(t.Context()); err == nil || !strings.Contains(err.Error(), "4 of its 20 inodes free") {
		t.Errorf("Disk = %v, want how many inodes are free", err)
	}
}

func TestDiskSaysHowMuchIsFree(t *testing.T) {
	if err := checks.Disk(t.TempDir(), 1)(t.Context()); err != nil {
		t.Errorf("Disk: %v", err)
	}
	if err := checks.Disk(t.TempDir(), 1<<60)(t.Context()); err == nil || !strings.Contains(err.Error(), "free, less than checks.disk.min_free (") {
		t.Errorf("Disk = %v, want the figures", err)
	}
	if err := checks.Disk(t.TempDir()+"/gone", 1)(t.Context()); err == nil {
		t.Errorf("Disk of a missing folder says nothing")
	}
}

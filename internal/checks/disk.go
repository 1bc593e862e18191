package checks

import (
	"context"
	"fmt"
	"syscall"

	"accountservice/internal/tempfile"
)

// minInodes is how many new files a file system must have room for: a copy of a lost database and what replaces the
// witness are two.
const minInodes = 8

// Disk fails when the file system of dir has less than minFree bytes left for this user, or hardly room for new files.
// It believes the statistics of the file system, which know nothing of a quota or of a full pool beneath it.
func Disk(dir string, minFree int64) func(context.Context) error {
	return func(context.Context) error {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(dir, &fs); err != nil {
			return fmt.Errorf("statfs %s: %w", dir, err)
		}
		free := tempfile.Bytes(&fs, fs.Bavail)
		if free < minFree {
			return fmt.Errorf("%s has %s free, less than checks.disk.min_free (%s)", dir, mib(free), mib(minFree))
		}
		if fs.Files > 0 && fs.Ffree < minInodes { // some file systems do not count them
			return fmt.Errorf("%s has %d of its %d inodes free; remove files that are not needed", dir, fs.Ffree, fs.Files)
		}
		return nil
	}
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

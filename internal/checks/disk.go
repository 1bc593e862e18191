package checks

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// Disk fails when the file system of dir has less than minFree bytes left for this user. It looks at the free space
// alone: a full disk makes writes fail while reads go on.
func Disk(dir string, minFree int64) func(context.Context) error {
	return func(context.Context) error {
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			return fmt.Errorf("statfs %s: %w", dir, err)
		}
		free := int64(fs.Bavail) * int64(fs.Bsize)
		if free < minFree {
			return fmt.Errorf("%s has %s free, less than %s", dir, mib(free), mib(minFree))
		}
		return nil
	}
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

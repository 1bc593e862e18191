//go:build !linux

package tempfile

import "syscall"

// blockSize returns the size of the blocks that disk counts.
func blockSize(disk *syscall.Statfs_t) int64 { return int64(disk.Bsize) }

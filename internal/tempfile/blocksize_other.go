//go:build !linux

package tempfile

import "syscall"

// BlockSize returns the size of the blocks that disk counts.
func BlockSize(disk *syscall.Statfs_t) int64 { return int64(disk.Bsize) }

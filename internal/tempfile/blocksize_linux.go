package tempfile

import "syscall"

// blockSize returns the size of the blocks that disk counts. On Linux that is not Bsize, the best size of a transfer:
// virtiofs, which shares a folder of a Mac with a container, has that 256 times as large.
func blockSize(disk *syscall.Statfs_t) int64 { return int64(disk.Frsize) }

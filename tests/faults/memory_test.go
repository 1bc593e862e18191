//go:build linux

package faults

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pageOut drops the file's pages from the map of the process and from the caches, as a machine short of memory does:
// what is read next comes from the device. Dropping the caches alone leaves every mapped page where it is.
func (s *scene) pageOut() {
	f, err := os.Open(s.path)
	s.must(err)
	defer f.Close()
	s.must(f.Sync())
	pid := s.svc.Cmd.Process.Pid
	fd, err := unix.PidfdOpen(pid, 0)
	s.must(err)
	defer unix.Close(fd)
	for _, m := range s.mapped(pid) {
		// EINVAL: locked in memory, which no shortage takes away
		if errno := pageOut(fd, m); errno != 0 && errno != syscall.EINVAL {
			s.Fatalf("process_madvise: %v", errno)
		}
	}
	s.must(os.WriteFile("/proc/sys/vm/drop_caches", []byte("1\n"), 0))
}

// stretch of another process's memory, as process_madvise takes it.
type stretch struct{ start, size uintptr }

// mapped lists where the process has the database in its memory.
func (s *scene) mapped(pid int) (all []stretch) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	s.must(err)
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err == nil && strings.HasSuffix(line, s.path+"\n") {
			all = append(all, stretch{from, to - from})
		}
	}
	if len(all) == 0 {
		s.Fatalf("process %d does not map %s", pid, s.path)
	}
	return all
}

func pageOut(pidfd int, m stretch) (errno syscall.Errno) {
	for {
		_, _, errno = syscall.Syscall6(unix.SYS_PROCESS_MADVISE, uintptr(pidfd), uintptr(unsafe.Pointer(&m)), 1,
			unix.MADV_PAGEOUT, 0, 0)
		if errno != syscall.EAGAIN && errno != syscall.EINTR {
			return errno
		}
	}
}

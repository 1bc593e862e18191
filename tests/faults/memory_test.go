//go:build linux

package faults

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pageOut drops the file's pages from the map of the process and from the
// caches, as a machine short of memory does: what is read next comes from the
// device. Dropping the caches alone leaves every mapped page where it is.
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
		if err := pageOut(fd, m); err != nil && !errors.Is(err, syscall.EINVAL) {
			s.Fatalf("process_madvise: %v", err)
		}
	}
	s.must(os.WriteFile("/proc/sys/vm/drop_caches", []byte("1\n"), 0))
}

// stretch of another process's memory, as process_madvise takes it.
type stretch struct {
	start uintptr
	size  uint64
}

// mapped lists where the process has the database in its memory.
func (s *scene) mapped(pid int) (all []stretch) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	s.must(err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if !strings.HasSuffix(lines.Text(), s.path) {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x", &from, &to); err == nil {
			all = append(all, stretch{from, uint64(to - from)})
		}
	}
	if len(all) == 0 {
		s.Fatalf("process %d does not map %s", pid, s.path)
	}
	return all
}

func pageOut(pidfd int, m stretch) error {
	for {
		_, _, errno := syscall.Syscall6(unix.SYS_PROCESS_MADVISE, uintptr(pidfd), uintptr(unsafe.Pointer(&m)), 1,
			unix.MADV_PAGEOUT, 0, 0)
		switch errno {
		case 0:
			return nil
		case syscall.EAGAIN, syscall.EINTR:
		default:
			return errno
		}
	}
}

package harness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Port returns a TCP port on which nothing listens, and reserves it for the test. A socket is bound to it that never
// listens: the kernel gives the port to no client and to no server that asks for any port, and a server that asks for
// this one gets it, since it sets SO_REUSEADDR as all common servers do.
func Port(tb testing.TB) int {
	tb.Helper()
	port, free, err := reservePort()
	Must(tb, err)
	tb.Cleanup(free)
	return port
}

// reservePort is Port until free is called.
func reservePort() (port int, free func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	free = func() { syscall.Close(fd) }
	err = errors.Join(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{}))
	at, unnamed := syscall.Getsockname(fd)
	if err = errors.Join(err, unnamed); err != nil {
		free()
		return 0, nil, err
	}
	return at.(*syscall.SockaddrInet4).Port, free, nil
}

// Established lists this machine's open connections to an address of IPv4, as the kernel shows them. The kernel's
// table is no snapshot: one connection may end and another begin while it is read. So it is read twice, and the
// connections in both were open at once.
func Established(tb testing.TB, addr string) (lines []string) {
	tb.Helper()
	before := connections(tb, addr)
	for inode, line := range connections(tb, addr) {
		if _, stayed := before[inode]; stayed {
			lines = append(lines, line)
		}
	}
	return lines
}

// connections are the lines of the open connections to addr, by their inode.
func connections(tb testing.TB, addr string) map[string]string {
	to := netip.MustParseAddrPort(addr)
	ip := to.Addr().As4()
	remote := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), to.Port())
	table := Read(tb, "/proc/net/tcp")
	found := make(map[string]string)
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 9 && f[2] == remote && f[3] == "01" {
			found[f[9]] = line
		}
	}
	return found
}

// Memory is a field of the process's /proc/PID/status in bytes, such as RssAnon, or 0 if there is none.
func Memory(pid int, field string) (bytes int64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, rest, found := strings.Cut(string(status), "\n"+field+":"); found {
		fmt.Sscan(rest, &bytes)
	}
	return bytes << 10
}

// CPU is the time that the process has used, in steps of 10 ms, or 0 if there is none.
func CPU(pid int) (used time.Duration) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ") // after the name, which may have spaces
	if f := strings.Fields(rest); len(f) > 12 {
		for _, ticks := range f[11:13] { // utime and stime; Linux shows them in hundredths of a second
			n, _ := strconv.Atoi(ticks)
			used += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return used
}

// Fill makes a file in a folder that leaves no room for one more byte, and returns its path.
func Fill(tb testing.TB, folder string) (path string) {
	tb.Helper()
	path = filepath.Join(folder, "filler")
	f, err := os.Create(path)
	Must(tb, err)
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if n, err := f.Write(make([]byte, size)); err != nil || n < size {
			size /= 2
		}
	}
	return path
}

// NeedStrace skips a test where strace is missing or may trace no process.
func NeedStrace(tb testing.TB) {
	tb.Helper()
	if err := exec.Command("strace", "-qq", "-o", os.DevNull, "true").Run(); err != nil {
		tb.Skipf("needs strace, and the right to trace a process: %v", err)
	}
}

//go:build linux

package faults

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"accountservice/tests/harness"

	"golang.org/x/sys/unix"
)

// canary makes the service write when nobody does.
var canary = []string{"ACCOUNTSERVICE_CHECKS_BOLT_WRITE_CANARY=true"}

// canaryBound is the time in which it finds a disk that takes no writes: it
// writes after 30 s without any, at the next run of the check.
const canaryBound = 30*time.Second + interval + bound

// diskFaults are of the file system and of the device under it.
var diskFaults = []fault{
	noRoom("its tmpfs is full", ram, (*scene).fillPlace),
	noRoom("its ext4 is full", disk, (*scene).fillPlace),
	noRoom("a limit of the size of its files (ulimit -f) is reached", folder, (*scene).limitFileSize),
	noRoom("every fsync is refused (ENOSPC) while the file system reports room", folder, (*scene).refuseSyncs),
	noRoom("every write of a meta page is refused (ENOSPC) by its FUSE folder", named, (*scene).refuseMetas),
	{
		name:  "remounted read-only by hand",
		place: disk,
		do: func(s *scene) {
			err := unix.Mount("", s.place.dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
			if errors.Is(err, syscall.EBUSY) {
				skip(s.T, "the kernel refuses it (EBUSY) while the file is open for writing; "+
					"an error can do it, see the next lines")
			}
			s.must(err)
		},
	}, {
		name:  "ext4 journal aborted",
		place: disk,
		do:    func(s *scene) { s.must(unix.Mount("", s.place.dir, "", unix.MS_REMOUNT|unix.MS_NOATIME, "abort")) },
	}, {
		name:  "ext4 error, which makes it read-only",
		place: disk,
		do:    (*scene).breakExt4,
	}, {
		name:  "ext4 error while nobody writes",
		place: disk,
		still: true,
		do:    (*scene).breakExt4,
		want:  want{health: 200, check: "disk"}, // reads go on, and a new container could not open the file
	}, {
		name:  "ext4 error while nobody writes (checks.bolt.write_canary=true)",
		place: disk,
		env:   canary,
		still: true,
		do:    (*scene).breakExt4,
		want:  want{within: canaryBound},
	}, {
		name:  "file system shut down, journal flushed",
		place: disk,
		do:    func(s *scene) { s.must(shutdown(s.place.dir, 1)) },
	}, {
		name:  "file system shut down, journal not flushed",
		place: disk,
		do:    func(s *scene) { s.must(shutdown(s.place.dir, 2)) },
	},
	{name: "device: every read fails, caches cold", place: sick, device: failing(reads), do: (*scene).pageOut},
	{name: "device: every read fails, caches warm", place: sick, device: failing(reads)},
	{name: "device: every write fails", place: sick, device: failing(writes)},
	{
		name:   "device: every write fails, while nobody writes",
		place:  sick,
		still:  true,
		device: failing(writes),
		want:   want{unseen: "nobody is refused a write; checks.bolt.write_canary finds it, see the next line"},
	}, {
		name:   "device: every write fails, while nobody writes (checks.bolt.write_canary=true)",
		place:  sick,
		env:    canary,
		still:  true,
		device: failing(writes),
		want:   want{within: canaryBound},
	},
	{name: "device: the 7th write fails, once", place: sick, device: failingOnce(7, anyWrite)},
	{name: "device: the 20th write fails, once", place: sick, device: failingOnce(20, anyWrite)},
	{
		name:   "device: the write of a meta page fails, once",
		place:  sick,
		device: failingOnce(1, isMeta),
		want:   want{restart: serves},
	},
	{name: "device: every flush (fsync) fails", place: sick, device: failing(flushes)},
}

func anyWrite([]byte) bool { return true }

// isMeta says whether a write begins with a meta page: page 0 or 1 of this type
// (0x04), and the magic number behind the header.
func isMeta(data []byte) bool {
	order := binary.LittleEndian
	return len(data) >= headerSize+64 && order.Uint64(data) < 2 && order.Uint16(data[8:]) == 0x04 &&
		order.Uint32(data[headerSize:]) == 0xED0CDAED
}

// hangs is what a row wants whose disk does not answer.
var hangs = want{within: hungBound, stuck: true, slowBack: 8 * time.Second}

// hangFaults are disks that do not answer, or late.
var hangFaults = []fault{
	{
		name:   "file system frozen: writes hang, reads do not",
		place:  disk,
		do:     func(s *scene) { s.must(freeze(s.place.dir)) },
		repair: func(s *scene) { s.must(thaw(s.place.dir)); mountAgain(s) },
		mended: "thawed, mounted again",
		want:   hangs,
	},
	{name: "device: reads hang, caches cold", place: sick, device: hanging(reads), do: (*scene).pageOut, want: hangs},
	{name: "device: reads hang, caches warm", place: sick, device: hanging(reads), want: hangs},
	{name: "device: writes hang", place: sick, device: hanging(writes), want: hangs},
	{name: "device: flushes (fsync) hang", place: sick, device: hanging(flushes), want: hangs},
}

// noRoom is a disk that takes no more until undo is called: writes are refused, reads go on, and writes resume by
// themselves.
func noRoom(name string, place kind, take func(*scene) (undo func())) fault {
	var undo func()
	return fault{
		name:  name,
		place: place,
		long:  true,
		do:    func(s *scene) { undo = take(s) },
		after: func(s *scene) {
			if !harness.Until(15*time.Second, func() bool {
				codes, _ := s.load.seen()
				return slices.Contains(codes, "PUT 507")
			}) {
				s.bad("no write is refused within 15 s")
			}
			undo()
			if !harness.Until(10*time.Second, func() bool { return s.load.put("resumed", "resumed")/100 == 2 }) {
				s.bad("no write is taken after space came back")
				return
			}
			s.row.words += "; with space again, writes go on"
			if !harness.Until(20*time.Second, func() bool {
				a := s.svc.ask("/health")
				return a.code == 200 && len(a.Failures) == 0
			}) {
				s.bad("with space again /health = %s", s.svc.ask("/health").words(""))
			}
		},
		want: want{health: 200, check: "disk", codes: "507", restart: serves},
	}
}

// filler is the file that takes all space of the place.
func (s *scene) filler() string { return filepath.Join(s.place.dir, "filler") }

func (s *scene) fillPlace() (undo func()) {
	harness.Fill(s.T, s.place.dir)
	return func() { s.must(os.Remove(s.filler())) }
}

// limitFileSize lets the service write no page behind the first ones of a file.
func (s *scene) limitFileSize() (undo func()) {
	limit := func(bytes uint64) {
		s.must(unix.Prlimit(s.svc.Cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil))
	}
	limit(64 << 10)
	return func() { limit(unix.RLIM_INFINITY) }
}

// refuseSyncs is a thin pool, a quota or a server that has no room, and does not say so before.
func (s *scene) refuseSyncs() (undo func()) {
	return s.inject("fdatasync", "error=ENOSPC")
}

// refuseMetas is a network file system that finds no room when it writes what the kernel has in its cache.
func (s *scene) refuseMetas() (undo func()) {
	var full sickness = func(_ *medium, r request) syscall.Errno {
		if r.op == writes && isMeta(r.data) {
			return syscall.ENOSPC
		}
		return 0
	}
	s.place.medium.ill.Store(&full)
	return s.place.medium.cure
}

// breakExt4 makes the kernel find an error in the file system.
func (s *scene) breakExt4() {
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(s.place.block), "trigger_fs_error")
	s.must(os.WriteFile(trigger, []byte("1"), 0))
}

// mountAgain makes the device well and mounts it anew.
func mountAgain(s *scene) {
	if s.place.medium != nil {
		s.place.medium.cure()
	}
	s.place.again(s.T)
}

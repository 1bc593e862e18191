//go:build linux

package faults

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// canary makes the service write when nobody does.
var canary = []string{"ACCOUNTSERVICE_CHECKS_BOLT_WRITE_CANARY=true"}

// canaryBound is the time in which it finds a disk that takes no writes: it
// writes after 30 s without any, at the next run of the check.
const canaryBound = 30*time.Second + interval + bound

// extShutdown is EXT4_IOC_SHUTDOWN of linux/ext4.h.
const extShutdown = 0x8004587d

// diskFaults are of the file system and of the device under it.
var diskFaults = []fault{
	full("its tmpfs is full", ram),
	full("its ext4 is full", disk),
	{
		name:  "remounted read-only by hand",
		place: disk,
		do: func(s *scene) {
			err := unix.Mount("", s.place.dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
			if errors.Is(err, syscall.EBUSY) {
				skip(s.T, "the kernel refuses it (EBUSY) while the file is open for writing; an error can do it, see the next lines")
			}
			must(s.T, err)
		},
		repair: mountAgain, mended: "mounted again",
	}, {
		name:  "ext4 journal aborted",
		place: disk,
		do: func(s *scene) {
			must(s.T, unix.Mount("", s.place.dir, "", unix.MS_REMOUNT|unix.MS_NOATIME, "abort"))
		},
		repair: mountAgain, mended: "mounted again",
	}, {
		name:  "ext4 error, which makes it read-only",
		place: disk,
		do: func(s *scene) {
			must(s.T, os.WriteFile(s.place.sysfs("trigger_fs_error"), []byte("1"), 0))
		},
		repair: mountAgain, mended: "mounted again",
	}, {
		name:  "ext4 error while nobody writes",
		place: disk,
		prepare: func(s *scene) {
			s.load.still()
		},
		do: func(s *scene) {
			must(s.T, os.WriteFile(s.place.sysfs("trigger_fs_error"), []byte("1"), 0))
		},
		repair: mountAgain, mended: "mounted again",
		// reads go on, and a new container could not open the file
		want: want{health: 200, check: "disk"},
	}, {
		name:  "ext4 error while nobody writes (checks.bolt.write_canary=true)",
		place: disk,
		env:   canary,
		prepare: func(s *scene) {
			s.load.still()
		},
		do: func(s *scene) {
			must(s.T, os.WriteFile(s.place.sysfs("trigger_fs_error"), []byte("1"), 0))
		},
		repair: mountAgain, mended: "mounted again",
		want: want{within: canaryBound},
	}, {
		name:   "file system shut down, journal flushed",
		place:  disk,
		do:     func(s *scene) { must(s.T, shutdown(s.place.dir, 1)) },
		repair: mountAgain, mended: "mounted again",
	}, {
		name:   "file system shut down, journal not flushed",
		place:  disk,
		do:     func(s *scene) { must(s.T, shutdown(s.place.dir, 2)) },
		repair: mountAgain, mended: "mounted again",
	}, {
		name:   "device: every read fails, caches cold",
		place:  sick,
		do:     func(s *scene) { s.fail(&s.place.device.reads, sickness{fail: true}); s.pageOut() },
		repair: mountAgain, mended: "device well, mounted again",
	}, {
		name:   "device: every read fails, caches warm",
		place:  sick,
		do:     func(s *scene) { s.fail(&s.place.device.reads, sickness{fail: true}) },
		repair: mountAgain, mended: "device well, mounted again",
	}, {
		name:   "device: every write fails",
		place:  sick,
		do:     func(s *scene) { s.fail(&s.place.device.saves, sickness{fail: true}) },
		repair: mountAgain, mended: "device well, mounted again",
	}, {
		name:    "device: every write fails, while nobody writes",
		place:   sick,
		prepare: func(s *scene) { s.load.still() },
		do:      func(s *scene) { s.fail(&s.place.device.saves, sickness{fail: true}) },
		repair:  mountAgain, mended: "device well, mounted again",
		want: want{unseen: "nobody is refused a write; checks.bolt.write_canary finds it, see the next line", within: 2 * bound},
	}, {
		name:    "device: every write fails, while nobody writes (checks.bolt.write_canary=true)",
		place:   sick,
		env:     canary,
		prepare: func(s *scene) { s.load.still() },
		do:      func(s *scene) { s.fail(&s.place.device.saves, sickness{fail: true}) },
		repair:  mountAgain, mended: "device well, mounted again",
		want: want{within: canaryBound},
	}, {
		name:   "device: the 7th write fails, once",
		place:  sick,
		do:     func(s *scene) { s.fail(&s.place.device.saves, sickness{fail: true, after: 6, once: true}) },
		repair: mountAgain, mended: "device well, mounted again",
	}, {
		name:   "device: the 20th write fails, once",
		place:  sick,
		do:     func(s *scene) { s.fail(&s.place.device.saves, sickness{fail: true, after: 19, once: true}) },
		repair: mountAgain, mended: "device well, mounted again",
	}, {
		name:   "device: the write of a meta page fails, once",
		place:  sick,
		do:     func(s *scene) { s.fail(&s.place.device.saves, sickness{fail: true, once: true, only: isMeta}) },
		repair: mountAgain, mended: "device well, mounted again",
		want: want{restart: serves},
	}, {
		name:   "device: every flush (fsync) fails",
		place:  sick,
		do:     func(s *scene) { s.fail(&s.place.device.syncs, sickness{fail: true}) },
		repair: mountAgain, mended: "device well, mounted again",
	},
}

// isMeta says whether a write begins with a meta page: page 0 or 1 of this type
// (0x04), and the magic number behind the header.
func isMeta(data []byte) bool {
	order := binary.LittleEndian
	return len(data) >= headerSize+64 && order.Uint64(data) < 2 && order.Uint16(data[8:]) == 0x04 && order.Uint32(data[headerSize:]) == 0xED0CDAED
}

// hangFaults are disks that do not answer.
var hangFaults = []fault{
	{
		name:   "file system frozen: writes hang, reads do not",
		place:  disk,
		do:     func(s *scene) { must(s.T, freeze(s.place.dir)) },
		repair: func(s *scene) { must(s.T, thaw(s.place.dir)); mountAgain(s) },
		mended: "thawed, mounted again",
		want:   want{stuck: true, slowBack: 8 * time.Second},
	}, {
		name:   "device: reads hang, caches cold",
		place:  sick,
		do:     func(s *scene) { s.hang(&s.place.device.reads); s.pageOut() },
		repair: mountAgain, mended: "device answers, mounted again",
		want: want{stuck: true, slowBack: 8 * time.Second},
	}, {
		name:   "device: reads hang, caches warm",
		place:  sick,
		do:     func(s *scene) { s.hang(&s.place.device.reads) },
		repair: mountAgain, mended: "device answers, mounted again",
		want: want{stuck: true, slowBack: 8 * time.Second},
	}, {
		name:   "device: writes hang",
		place:  sick,
		do:     func(s *scene) { s.hang(&s.place.device.saves) },
		repair: mountAgain, mended: "device answers, mounted again",
		want: want{stuck: true, slowBack: 8 * time.Second},
	}, {
		name:   "device: flushes (fsync) hang",
		place:  sick,
		do:     func(s *scene) { s.hang(&s.place.device.syncs) },
		repair: mountAgain, mended: "device answers, mounted again",
		want: want{stuck: true, slowBack: 8 * time.Second},
	},
}

// slowDisk answers everything late, and is none to be killed for.
var slowDisk = fault{
	name:  "device: every request takes 50 ms longer",
	place: sick,
	do: func(s *scene) {
		for _, kind := range []*sickness{&s.place.device.reads, &s.place.device.saves, &s.place.device.syncs} {
			s.fail(kind, sickness{delay: 50 * time.Millisecond})
		}
	},
	repair: mountAgain, mended: "device well, mounted again",
	want: want{unseen: "slow is not dead; requests are answered later", within: 2 * bound, restart: serves},
}

// full is a file system that a neighbour fills, and empties later: writes are
// refused, reads go on, and writes resume by themselves.
func full(name string, place kind) fault {
	return fault{
		name:  name,
		place: place,
		long:  true,
		do:    (*scene).fillPlace,
		after: func(s *scene) {
			refused := eventually(func() error {
				if codes, _ := s.load.seen(); !slices.Contains(codes, "PUT 507") {
					return errors.New("no write was refused")
				}
				return nil
			}, 15*time.Second) == nil
			if !refused {
				s.bad("no write is refused within 15 s")
			}
			must(s.T, os.Remove(s.filler()))
			resumed := eventually(func() error {
				if s.load.put("resumed", "resumed")/100 != 2 {
					return errors.New("still refused")
				}
				return nil
			})
			if resumed != nil {
				s.bad("no write is taken after space came back")
				return
			}
			s.row.words += "; with space again, writes go on"
			if a := s.svc.ask("/health"); a.code != 200 {
				s.bad("with space again /health = %s", a)
			}
		},
		want: want{health: 200, check: "disk", codes: "507", restart: serves},
	}
}

// filler is the file that takes all space of the place.
func (s *scene) filler() string { return filepath.Join(s.place.dir, "filler") }

func (s *scene) fillPlace() { must(s.T, fill(s.filler())) }

// fill makes a file that leaves no room for another.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return f.Close()
}

// mountAgain makes the device well and mounts it anew.
func mountAgain(s *scene) {
	if s.place.device != nil {
		s.place.device.cure()
	}
	s.place.again(s.T)
}

// fail makes one kind of requests fail.
func (s *scene) fail(kind *sickness, how sickness) { s.place.device.sicken(kind, how) }

// hang makes one kind of requests wait until the device is cured.
func (s *scene) hang(kind *sickness) {
	s.place.device.sicken(kind, sickness{hang: make(chan struct{})})
}

func shutdown(dir string, flag int) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.IoctlSetPointerInt(int(d.Fd()), extShutdown, flag); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	return nil
}

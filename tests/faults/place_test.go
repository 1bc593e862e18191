//go:build linux

package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"

	"golang.org/x/sys/unix"
)

// place is where a row's database lives.
type place struct {
	dir    string  // of the database; a mount point unless it is a plain folder
	block  string  // the loop device, if there is one
	medium *medium // what holds it, if that can be made to fail
}

// kind says how a place is made.
type kind string

const (
	folder kind = ""            // a directory of the machine's own disk
	disk   kind = "loop device" // ext4 on a loop device
	sick   kind = "FUSE device" // ext4 on a loop device on a device of ours
	ram    kind = "tmpfs"
	named  kind = "FUSE folder, named" // the number of an inode is made up from the name of its file
	remote kind = "FUSE folder"        // passed on to a folder
)

// repaired says what mountAgain does to a place of this kind, if anything.
func (k kind) repaired() string {
	switch k {
	case disk:
		return "mounted again"
	case sick:
		return "device well, mounted again"
	}
	return ""
}

// diskSize leaves more free than checks.disk.min_free asks for by default.
const diskSize = 160 << 20

// prefix begins the name of all that a run leaves on the machine; the id of its
// process follows, so that the next run can tell what nobody owns any more.
const prefix = "accountservice-faults-"

// newPlace makes a place below dir and takes it down when the test ends.
func newPlace(t *testing.T, k kind, dir string) *place {
	t.Helper()
	p := &place{dir: filepath.Join(dir, "data")}
	harness.Must(t, os.Mkdir(p.dir, 0o755))
	if k == folder {
		return p
	}
	if os.Getuid() != 0 {
		skip(t, "making a %s takes root", k)
	}
	if k == named {
		p.medium = mountNamedInodes(t, p.dir)
		return p
	}
	if k == ram {
		if err := unix.Mount("tmpfs", p.dir, "tmpfs", 0, fmt.Sprint("size=", diskSize)); err != nil {
			skip(t, "tmpfs cannot be mounted here: %v", err)
		}
		t.Cleanup(func() { detach(p.dir) })
		return p
	}
	if k == remote {
		p.medium = newRemote(t, p.dir)
		return p
	}
	file := filepath.Join(dir, "image")
	if k == sick {
		var d *device
		d, file = newDevice(t, dir, diskSize)
		p.medium = d.medium
	} else {
		harness.Must(t, os.WriteFile(file, nil, 0o600))
		harness.Must(t, os.Truncate(file, diskSize))
	}
	for _, tool := range []string{"mkfs.ext4", "losetup"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, "%s is not installed", tool)
		}
	}
	out, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		skip(t, "no loop device: %s", strings.TrimSpace(string(out)))
	}
	p.block = strings.TrimSpace(string(out))
	t.Cleanup(func() { letGo(p.block) })
	// nothing is left to the kernel to write later: the k-th write is one of the service's
	harness.Output(t, exec.Command("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", "-J", "size=8", p.block))
	p.mount(t)
	t.Cleanup(func() {
		thaw(p.dir)
		detach(p.dir)
	})
	return p
}

// mount puts the loop device's file system on the folder. An error in it makes
// it read-only, as distributions set it up.
func (p *place) mount(t *testing.T) {
	t.Helper()
	harness.Must(t, unix.Mount(p.block, p.dir, "ext4", unix.MS_NOATIME, "errors=remount-ro"))
}

// again unmounts and mounts the file system, as a restart of the machine would.
// What its caches hold and the device does not is lost thereby.
func (p *place) again(t *testing.T) {
	t.Helper()
	if err := harness.Eventually(10*time.Second, func() error { return unix.Unmount(p.dir, 0) }); err != nil {
		t.Errorf("unmount: %v", err)
		return
	}
	p.mount(t)
}

func detach(dir string) { unix.Unmount(dir, unix.MNT_DETACH) }

// letGo detaches a loop device, at once or when its last user has gone.
func letGo(block string) {
	onFile(block, func(fd int) error { return unix.IoctlSetInt(fd, unix.LOOP_CLR_FD, 0) })
}

// FIFREEZE and FITHAW of linux/fs.h, EXT4_IOC_SHUTDOWN of linux/ext4.h.
const (
	fiFreeze    = 0xc0045877
	fiThaw      = 0xc0045878
	extShutdown = 0x8004587d
)

func freeze(dir string) error {
	return onFile(dir, func(fd int) error { return unix.IoctlSetInt(fd, fiFreeze, 0) })
}

func thaw(dir string) error {
	return onFile(dir, func(fd int) error { return unix.IoctlSetInt(fd, fiThaw, 0) })
}

func shutdown(dir string, flag int) error {
	return onFile(dir, func(fd int) error { return unix.IoctlSetPointerInt(fd, extShutdown, flag) })
}

func onFile(dir string, do func(fd int) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return do(int(d.Fd()))
}

// removeLeftovers ends what an earlier run left behind that was killed before
// its clean-up: processes, frozen and mounted file systems, loop devices, files.
func removeLeftovers() {
	base := filepath.Join(os.TempDir(), prefix)
	orphan := func(path string) bool {
		rest, ours := strings.CutPrefix(path, base)
		pid, _, _ := strings.Cut(rest, "-")
		n, err := strconv.Atoi(pid)
		return ours && err == nil && n != os.Getpid() && errors.Is(syscall.Kill(n, 0), syscall.ESRCH)
	}
	var loops []string // found by the path of what is under them, so before that is unmounted
	backing, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, name := range backing {
		if file, err := os.ReadFile(name); err == nil && orphan(string(file)) {
			loops = append(loops, "/dev/"+filepath.Base(filepath.Dir(filepath.Dir(name))))
		}
	}
	points := mountPoints()
	for _, point := range points {
		if orphan(point) && filepath.Base(point) == deviceName {
			unix.Unmount(point, unix.MNT_FORCE) // ends what hangs in it, though it is in use
		}
	}
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range exes {
		if exe, err := os.Readlink(link); err == nil && orphan(exe) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	for _, point := range slices.Backward(points) { // the last one mounted first
		if orphan(point) {
			thaw(point)
			detach(point)
		}
	}
	for _, block := range loops {
		letGo(block)
	}
	roots, _ := filepath.Glob(base + "*")
	for _, root := range roots {
		if orphan(root) {
			os.RemoveAll(root)
		}
	}
}

// mountPoints lists what is mounted, in order.
func mountPoints() (points []string) {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, fields[4])
		}
	}
	return points
}

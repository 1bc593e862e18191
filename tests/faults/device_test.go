//go:build linux

package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// device is a file in a FUSE file system of this process, made to stand under a
// loop device: a disk that fails or hangs when it is told to. It dies with this
// process, and what hangs in it then ends with an I/O error.
type device struct {
	fs.Inode
	image *os.File

	mu  sync.Mutex
	ill [3]sickness // by operation
}

// operation is a kind of request to the device.
type operation int

const (
	reads operation = iota
	writes
	flushes // fsync
)

// sickness is what one kind of request meets.
type sickness struct {
	hang  chan struct{} // closed when it is over; nil: answers
	fail  bool
	delay time.Duration
	after int // requests that still pass before fail or hang begins
	once  bool
	only  func(data []byte) bool // the requests that meet it; nil: all
}

// cure ends whatever is wrong with the device.
func (d *device) cure() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.ill {
		if s.hang != nil {
			close(s.hang)
		}
	}
	d.ill = [3]sickness{}
}

// failing makes all requests of a kind fail.
func failing(op operation) func(*device) { return meeting(sickness{fail: true}, op) }

// hanging makes all requests of a kind wait until the device is cured.
func hanging(op operation) func(*device) {
	return func(d *device) { meeting(sickness{hang: make(chan struct{})}, op)(d) }
}

// failingOnce makes one write fail, after some that pass; only says which count.
func failingOnce(after int, only func(data []byte) bool) func(*device) {
	return meeting(sickness{fail: true, once: true, after: after, only: only}, writes)
}

// meeting makes requests meet a sickness from now on.
func meeting(ill sickness, ops ...operation) func(*device) {
	return func(d *device) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, op := range ops {
			d.ill[op] = ill
		}
	}
}

// suffer is what a request meets now.
func (d *device) suffer(op operation, data []byte) syscall.Errno {
	d.mu.Lock()
	kind := &d.ill[op]
	if kind.hang == nil && !kind.fail && kind.delay == 0 || kind.only != nil && !kind.only(data) {
		d.mu.Unlock()
		return 0
	}
	if kind.after > 0 {
		kind.after--
		d.mu.Unlock()
		return 0
	}
	hang, fail, delay := kind.hang, kind.fail, kind.delay
	if kind.once {
		kind.fail = false
	}
	d.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if delay > 0 {
		<-time.After(delay)
	}
	if fail {
		return syscall.EIO
	}
	return 0
}

func (d *device) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(d.image.Fd()), &st); err != nil {
		return fs.ToErrno(err)
	}
	out.FromStat(&st)
	return 0
}

func (d *device) Setattr(ctx context.Context, fh fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.Getattr(ctx, fh, out)
}

// Open lets no page of the device stay in a cache: each request comes here.
func (d *device) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (d *device) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if errno := d.suffer(reads, nil); errno != 0 {
		return nil, errno
	}
	n, err := d.image.ReadAt(dest, off)
	if n == 0 && err != nil {
		return nil, fs.ToErrno(err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

func (d *device) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := d.suffer(writes, data); errno != 0 {
		return 0, errno
	}
	n, err := d.image.WriteAt(data, off)
	return uint32(n), fs.ToErrno(err)
}

func (d *device) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return d.suffer(flushes, nil)
}

// deviceName is the folder that a device is mounted on.
const deviceName = "device"

// newDevice mounts a device on a fresh sparse image below dir. file is its path.
func newDevice(t *testing.T, dir string, size int64) (d *device, file string) {
	t.Helper()
	image, err := os.Create(filepath.Join(dir, "image"))
	harness.Must(t, err)
	t.Cleanup(func() { image.Close() })
	harness.Must(t, image.Truncate(size))
	mount := filepath.Join(dir, deviceName)
	harness.Must(t, os.Mkdir(mount, 0o755))

	d = &device{image: image}
	root := &fs.Inode{}
	options := &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true, FsName: "accountservice-faults", Name: "faults", MaxBackground: 256,
	}}
	options.OnAdd = func(ctx context.Context) {
		root.AddChild("disk", root.NewPersistentInode(ctx, d, fs.StableAttr{Mode: syscall.S_IFREG}), false)
	}
	server, err := mountAlone(mount, root, options)
	if err != nil {
		skip(t, "FUSE cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		d.cure()
		if err := server.Unmount(); err != nil {
			detach(mount)
		}
	})
	return d, filepath.Join(mount, "disk")
}

// mountAlone mounts while no process is started: one that inherited the
// connection would keep it, and what hangs in it, beyond the end of this one.
func mountAlone(dir string, root fs.InodeEmbedder, options *fs.Options) (*fuse.Server, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	server, err := fs.Mount(dir, root, options)
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if file, _ := os.Readlink(link); file == "/dev/fuse" {
			if fd, err := strconv.Atoi(filepath.Base(link)); err == nil {
				syscall.CloseOnExec(fd)
			}
		}
	}
	return server, err
}

// canFUSE says why this machine cannot make a device, or "".
func canFUSE() string {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Sprintf("there is no usable /dev/fuse (%v)", err)
	}
	f.Close()
	return ""
}

//go:build linux

package faults

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// device is a file in a FUSE file system of this process, made to stand under a loop device: a disk that fails or hangs
// when it is told to. It dies with this process, and what hangs in it then ends with an I/O error.
type device struct {
	fs.Inode
	image *os.File

	ill   atomic.Pointer[sickness]
	well  context.Context // ends when it is cured
	cured context.CancelFunc
}

// operation is a kind of request to the device.
type operation int

const (
	reads operation = iota
	writes
	flushes // fsync
)

// sickness is what a request meets. data is what it writes, or what it would read.
type sickness func(d *device, op operation, data []byte) syscall.Errno

// failing makes all requests of a kind fail.
func failing(ill operation) sickness {
	return func(_ *device, op operation, _ []byte) syscall.Errno { return failIf(op == ill) }
}

// failingOnce makes the nth write fail of those that count.
func failingOnce(n int32, counts func(data []byte) bool) sickness {
	var seen atomic.Int32
	return func(_ *device, op operation, data []byte) syscall.Errno {
		return failIf(op == writes && counts(data) && seen.Add(1) == n)
	}
}

// unreadable makes reads fail of what has this text.
func unreadable(text string) sickness {
	return func(_ *device, op operation, data []byte) syscall.Errno {
		return failIf(op == reads && bytes.Contains(data, []byte(text)))
	}
}

func failIf(fails bool) syscall.Errno {
	if fails {
		return syscall.EIO
	}
	return 0
}

// hanging makes all requests of a kind wait until the device is cured.
func hanging(ill operation) sickness {
	return func(d *device, op operation, _ []byte) syscall.Errno {
		if op == ill {
			<-d.well.Done()
		}
		return 0
	}
}

// slow makes all requests take longer.
func slow(*device, operation, []byte) syscall.Errno {
	<-time.After(50 * time.Millisecond)
	return 0
}

// cure ends whatever is wrong with the device, for good.
func (d *device) cure() {
	d.ill.Store(nil)
	d.cured()
}

// suffer is what a request meets now.
func (d *device) suffer(op operation, data []byte) syscall.Errno {
	if ill := d.ill.Load(); ill != nil {
		return (*ill)(d, op, data)
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
	n, err := d.image.ReadAt(dest, off)
	if errno := d.suffer(reads, dest[:n]); errno != 0 {
		return nil, errno
	}
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

func wellDevice() *device {
	d := new(device)
	d.well, d.cured = context.WithCancel(context.Background())
	return d
}

// newDevice mounts a device on a fresh sparse image below dir. file is its path.
func newDevice(t *testing.T, dir string, size int64) (d *device, file string) {
	t.Helper()
	image, err := os.Create(filepath.Join(dir, "image"))
	harness.Must(t, err)
	t.Cleanup(func() { image.Close() })
	harness.Must(t, image.Truncate(size))
	mount := filepath.Join(dir, deviceName)
	harness.Must(t, os.Mkdir(mount, 0o755))

	d = wellDevice()
	d.image = image
	root := &fs.Inode{}
	options := &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true, FsName: "accountservice-faults", Name: "faults", MaxBackground: 256,
	}}
	options.OnAdd = func(ctx context.Context) {
		root.AddChild("disk", root.NewPersistentInode(ctx, d, fs.StableAttr{Mode: syscall.S_IFREG}), false)
	}
	server, err := mountAlone(mount, root, options)
	if err != nil { // there is no usable /dev/fuse, or no right to mount
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

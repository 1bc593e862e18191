//go:build linux

package faults

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// medium is what holds a place: it fails, hangs or is slow when it is told to.
// It dies with this process, and what hangs in it then ends with an I/O error.
type medium struct {
	ill   atomic.Pointer[sickness]
	well  context.Context // ends when it is cured
	cured context.CancelFunc
}

func newMedium() *medium {
	m := &medium{}
	m.well, m.cured = context.WithCancel(context.Background())
	return m
}

// cure ends whatever is wrong with the medium, for good.
func (m *medium) cure() {
	m.ill.Store(nil)
	m.cured()
}

// suffer is what a request meets now.
func (m *medium) suffer(r request) syscall.Errno {
	if ill := m.ill.Load(); ill != nil {
		return (*ill)(m, r)
	}
	return 0
}

// operation is a kind of request.
type operation int

const (
	reads operation = iota
	writes
	flushes // fsync
)

// request is one to a medium.
type request struct {
	op     operation
	off    int64
	data   []byte // what it writes, or would read from a device
	size   int    // of a read, in a folder
	direct bool   // by O_DIRECT, in a folder
}

// sickness is what a request meets.
type sickness func(m *medium, r request) syscall.Errno

// failing makes all requests of a kind fail.
func failing(ill operation) sickness {
	return func(_ *medium, r request) syscall.Errno { return failIf(r.op == ill) }
}

// failingOnce makes the nth write fail of those that count.
func failingOnce(n int32, counts func(data []byte) bool) sickness {
	var seen atomic.Int32
	return func(_ *medium, r request) syscall.Errno {
		return failIf(r.op == writes && counts(r.data) && seen.Add(1) == n)
	}
}

// unreadable makes reads fail of what has this text.
func unreadable(text string) sickness {
	return func(_ *medium, r request) syscall.Errno {
		return failIf(r.op == reads && bytes.Contains(r.data, []byte(text)))
	}
}

func failIf(fails bool) syscall.Errno {
	if fails {
		return syscall.EIO
	}
	return 0
}

// hanging makes all requests of a kind wait until the medium is cured.
func hanging(ill operation) sickness {
	return func(m *medium, r request) syscall.Errno {
		if r.op == ill {
			<-m.well.Done()
		}
		return 0
	}
}

// taking makes one request of n take a time between these two longer, of all kinds, or of those that are given.
func taking(least, most time.Duration, n int, kinds ...operation) sickness {
	return func(m *medium, r request) syscall.Errno {
		if rand.IntN(n) == 0 && (len(kinds) == 0 || slices.Contains(kinds, r.op)) {
			select {
			case <-time.After(least + rand.N(most-least+1)):
			case <-m.well.Done():
			}
		}
		return 0
	}
}

// device is a file in a FUSE file system of this process, made to stand under a loop device.
type device struct {
	fs.Inode
	*medium
	image *os.File
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
	if errno := d.suffer(request{op: reads, off: off, data: dest[:n]}); errno != 0 {
		return nil, errno
	}
	if n == 0 && err != nil {
		return nil, fs.ToErrno(err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

func (d *device) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := d.suffer(request{op: writes, off: off, data: data}); errno != 0 {
		return 0, errno
	}
	n, err := d.image.WriteAt(data, off)
	return uint32(n), fs.ToErrno(err)
}

func (d *device) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return d.suffer(request{op: flushes})
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

	d = &device{medium: newMedium(), image: image}
	root := &fs.Inode{}
	options := mountOptions()
	options.OnAdd = func(ctx context.Context) {
		root.AddChild("disk", root.NewPersistentInode(ctx, d, fs.StableAttr{Mode: syscall.S_IFREG}), false)
	}
	mountFor(t, mount, root, options, d.medium)
	return d, filepath.Join(mount, "disk")
}

func mountOptions() *fs.Options {
	return &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true, FsName: "accountservice-faults", Name: "faults", MaxBackground: 256,
	}}
}

// mountFor mounts a file system until the test ends.
func mountFor(t *testing.T, dir string, root fs.InodeEmbedder, options *fs.Options, m *medium) {
	t.Helper()
	server, err := mountAlone(dir, root, options)
	if err != nil { // there is no usable /dev/fuse, or no right to mount
		skip(t, "FUSE cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		m.cure()
		if err := server.Unmount(); err != nil {
			detach(dir)
		}
	})
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

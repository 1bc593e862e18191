package boltfile

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"accountservice/tests/harness"
)

// slowToOpen is a file that takes a while to open. A signal ends that.
type slowToOpen struct {
	fs.MemRegularFile
	slow        atomic.Bool
	interrupted atomic.Int32
}

// Open implements fs.NodeOpener.
func (f *slowToOpen) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if f.slow.Load() {
		select {
		case <-ctx.Done():
			f.interrupted.Add(1)
			return nil, 0, syscall.EINTR
		case <-time.After(300 * time.Millisecond):
		}
	}
	return nil, fuse.FOPEN_DIRECT_IO, fs.OK
}

// Go's scheduler interrupts threads by signals: such a one must not end the reads past the cache for good.
func TestSignalDoesNotEndTheOpeningOfDirect(t *testing.T) {
	dir := t.TempDir()
	file := &slowToOpen{MemRegularFile: fs.MemRegularFile{Data: make([]byte, 8192), Attr: fuse.Attr{Mode: 0o644}}}
	root := &fs.Inode{}
	server, err := fs.Mount(dir, root, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true},
		OnAdd: func(ctx context.Context) {
			root.AddChild("f", root.NewPersistentInode(ctx, file, fs.StableAttr{}), false)
		}})
	if err != nil {
		t.Skipf("FUSE cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { server.Unmount() })
	f, err := os.Open(filepath.Join(dir, "f"))
	harness.Must(t, err)
	defer f.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := syscall.Gettid()
	file.slow.Store(true)
	go func() {
		for file.interrupted.Load() == 0 {
			time.Sleep(20 * time.Millisecond)
			unix.Tgkill(os.Getpid(), thread, syscall.SIGURG)
		}
	}()
	d := OpenDirect(f)
	defer d.Close()
	if file.interrupted.Load() == 0 || d.file == nil {
		t.Errorf("interrupted %d times, want at least once; opened: %v", file.interrupted.Load(), d.file != nil)
	}
}

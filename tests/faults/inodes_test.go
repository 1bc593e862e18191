//go:build linux

package faults

import (
	"context"
	"hash/fnv"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// namedInodes passes everything on to another folder, and makes up the number of an inode from the name of its file, as
// mergerfs can: a new name of an open file has another inode than the open file.
type namedInodes struct {
	fs.LoopbackNode
	medium *medium // whose sickness its writes meet
}

func (n *namedInodes) named(ctx context.Context, name string, out *fuse.EntryOut, errno syscall.Errno) (*fs.Inode, syscall.Errno) {
	if errno != 0 {
		return nil, errno
	}
	sum := fnv.New64a()
	sum.Write([]byte(name))
	child := &namedInodes{fs.LoopbackNode{RootData: n.RootData}, n.medium}
	return n.NewInode(ctx, child, fs.StableAttr{Mode: out.Attr.Mode, Ino: sum.Sum64() >> 1}), 0
}

func (n *namedInodes) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	_, errno := n.LoopbackNode.Lookup(ctx, name, out)
	return n.named(ctx, name, out, errno)
}

func (n *namedInodes) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	_, handle, fuseFlags, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	child, errno := n.named(ctx, name, out, errno)
	return child, n.opened(handle), fuseFlags, errno
}

func (n *namedInodes) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	_, errno := n.LoopbackNode.Link(ctx, target, name, out)
	return n.named(ctx, name, out, errno)
}

func (n *namedInodes) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	handle, fuseFlags, errno := n.LoopbackNode.Open(ctx, flags)
	return n.opened(handle), fuseFlags, errno
}

func (n *namedInodes) opened(handle fs.FileHandle) fs.FileHandle {
	if file, is := handle.(*fs.LoopbackFile); is {
		return sickFile{file, n.medium}
	}
	return handle
}

// sickFile is an open file whose writes come here, and not to the file below.
type sickFile struct {
	*fs.LoopbackFile
	medium *medium
}

func (f sickFile) PassthroughFd() (int, bool) { return 0, false }

// Write is called after the kernel has put data into its cache, and into the maps of processes: there it stays until
// somebody reads the file, whatever the error is.
func (f sickFile) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := f.medium.suffer(request{op: writes, off: off, data: data}); errno != 0 {
		return 0, errno
	}
	return f.LoopbackFile.Write(ctx, data, off)
}

// mountNamedInodes puts such a file system on dir.
func mountNamedInodes(t *testing.T, dir string) *medium {
	t.Helper()
	under := dir + ".under"
	harness.Must(t, os.Mkdir(under, 0o755))
	top := &namedInodes{fs.LoopbackNode{RootData: &fs.LoopbackRoot{Path: under}}, newMedium()}
	options := mountOptions()
	options.AllowOther = os.Geteuid() == 0
	mountFor(t, dir, top, options, top.medium)
	return top.medium
}

// oneCopy wants that no copy follows the one at the path.
func (s *scene) oneCopy() {
	<-time.After(4 * time.Second) // long enough for two more
	left, err := filepath.Glob(filepath.Join(s.place.dir, "*resc*"))
	s.must(err)
	if hidden, _ := filepath.Glob(filepath.Join(s.place.dir, ".*resc*")); len(left)+len(hidden) > 0 {
		s.bad("copies beside the one at the path: %q, %q", left, hidden)
	}
}

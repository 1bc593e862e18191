//go:build linux

package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"accountservice/tests/harness"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// remoteNode is a file or folder in a FUSE file system of this process that
// passes everything on to a folder, as a network file system does to its server.
type remoteNode struct {
	*fs.LoopbackNode
	*medium
}

// remoteFile is an open one.
type remoteFile struct {
	*fs.LoopbackFile
	*medium
	direct bool // by O_DIRECT
}

// newRemote mounts a medium on dir.
func newRemote(t *testing.T, dir string) *medium {
	t.Helper()
	below := filepath.Join(filepath.Dir(dir), "server")
	harness.Must(t, syscall.Mkdir(below, 0o755))
	var st syscall.Stat_t
	harness.Must(t, syscall.Stat(below, &st))
	root := &fs.LoopbackRoot{Path: below, Dev: uint64(st.Dev)}
	node := &remoteNode{&fs.LoopbackNode{RootData: root}, newMedium()}
	root.RootNode = node
	options := mountOptions()
	options.ExplicitDataCacheControl = true // the kernel would wait for a page that hangs, to drop it, at each stat
	mountFor(t, dir, node, options, node.medium)
	// nothing is read ahead: a page that hangs holds up no other
	harness.Must(t, syscall.Stat(dir, &st))
	readAhead := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
	harness.Must(t, os.WriteFile(readAhead, []byte("0"), 0))
	return node.medium
}

func (n *remoteNode) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &remoteNode{ops.(*fs.LoopbackNode), n.medium}
}

func (n *remoteNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, out, errno := n.LoopbackNode.Open(ctx, flags&^syscall.O_DIRECT)
	if errno != 0 {
		return nil, 0, errno
	}
	return &remoteFile{f.(*fs.LoopbackFile), n.medium, flags&syscall.O_DIRECT != 0}, out | fuse.FOPEN_KEEP_CACHE, 0
}

// PassthroughFd keeps the kernel from going past this process.
func (f *remoteFile) PassthroughFd() (int, bool) { return 0, false }

func (f *remoteFile) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if errno := f.suffer(request{op: reads, off: off, size: len(dest), direct: f.direct}); errno != 0 {
		return nil, errno
	}
	return f.LoopbackFile.Read(ctx, dest, off)
}

func (f *remoteFile) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := f.suffer(request{op: writes, off: off, data: data}); errno != 0 {
		return 0, errno
	}
	return f.LoopbackFile.Write(ctx, data, off)
}

func (f *remoteFile) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	if errno := f.suffer(request{op: flushes}); errno != 0 {
		return errno
	}
	return f.LoopbackFile.Fsync(ctx, flags)
}

//go:build linux

package swarm

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// hangingDisk is a folder in a FUSE file system of this process where fsync never returns while it is told to hang, as
// with a storage that went away: who commits then waits until it is killed.
type hangingDisk struct {
	dir   string
	hangs atomic.Bool
	well  context.Context // ends when it is cured
	cure  context.CancelFunc
}

// wait is over when the disk answers again, or when who waits is killed.
func (h *hangingDisk) wait(ctx context.Context) syscall.Errno {
	if !h.hangs.Load() {
		return 0
	}
	select {
	case <-h.well.Done():
		return 0
	case <-ctx.Done():
		return syscall.EINTR
	}
}

// hang makes the disk hang while a task commits.
func (h *hangingDisk) hang(s *stack, _ task) {
	h.hangs.Store(true)
	client := http.Client{Timeout: time.Second} // nobody will answer
	l := load{url: s.url}
	l.ask(&client, http.MethodPut, "/10001", `{"name":"Never acknowledged"}`)
	if len(l.acknowledged) > 0 {
		s.t.Error("a write was acknowledged that is not on the disk")
	}
}

// hangingNode passes everything through, fsync after the wait.
type hangingNode struct {
	*fs.LoopbackNode
	disk *hangingDisk
}

func (n *hangingNode) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &hangingNode{ops.(*fs.LoopbackNode), n.disk}
}

func (n *hangingNode) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	if errno := n.disk.wait(ctx); errno != 0 {
		return errno
	}
	return f.(fs.FileFsyncer).Fsync(ctx, flags)
}

// newHangingDisk mounts one for the user of the image.
func newHangingDisk(t *testing.T) *hangingDisk {
	t.Helper()
	h := &hangingDisk{dir: filepath.Join(t.TempDir(), "disk")}
	h.well, h.cure = context.WithCancel(context.Background())
	below := t.TempDir()
	var st syscall.Stat_t
	for _, err := range []error{os.Mkdir(h.dir, 0o755), os.Chown(below, imageUser, imageUser), syscall.Stat(below, &st)} {
		harness.Must(t, err)
	}
	loopback := &fs.LoopbackRoot{Path: below, Dev: uint64(st.Dev)}
	node := &hangingNode{&fs.LoopbackNode{RootData: loopback}, h}
	loopback.RootNode = node
	server, err := fs.Mount(h.dir, node, &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true, AllowOther: true, FsName: "accountservice-swarm", Name: "hanging",
	}})
	if err != nil {
		t.Fatalf("SWARM_TEST=1 needs FUSE: %v", err)
	}
	t.Cleanup(func() {
		h.cure()
		if err := server.Unmount(); err != nil {
			t.Errorf("unmount %s: %v", h.dir, err)
		}
	})
	return h
}

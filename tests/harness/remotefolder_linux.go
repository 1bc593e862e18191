package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// RemoteFolder is a folder whose file system is served by another process, as that of a network is: no call to it
// returns while that process is stopped. The folder cannot be flushed and has room without end, as that of object storage.
type RemoteFolder struct {
	Path   string
	server *exec.Cmd
}

// remoteFolder is the variable that makes ServeRemoteFolder serve.
const remoteFolder = "ACCOUNTSERVICE_TEST_REMOTE_FOLDER"

// NewRemoteFolder mounts one until the test ends. It skips the test where that is not possible. The package has a test
// TestServeRemoteFolder that calls ServeRemoteFolder: this binary runs it in a process of its own.
func NewRemoteFolder(tb testing.TB) *RemoteFolder {
	tb.Helper()
	if os.Getuid() != 0 {
		tb.Skip("to mount a file system takes root")
	}
	f := &RemoteFolder{filepath.Join(tb.TempDir(), "remote"), exec.Command(os.Args[0], "-test.run=^TestServeRemoteFolder$")}
	Must(tb, errors.Join(os.Mkdir(f.Path, 0o755), os.Mkdir(f.Path+".below", 0o755)))
	f.server.Env = append(os.Environ(), remoteFolder+"="+f.Path)
	// Pdeathsig ends what hangs in the folder. It is sent when this thread ends, so no other test may lock and end it.
	runtime.LockOSThread()
	f.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := f.server.StdoutPipe()
	Must(tb, err)
	Must(tb, f.server.Start())
	tb.Cleanup(func() {
		f.server.Process.Kill()
		f.server.Wait()
		syscall.Unmount(f.Path, syscall.MNT_DETACH)
	})
	if line, _ := bufio.NewReader(said).ReadString('\n'); line != "mounted\n" {
		tb.Skipf("no file system can be mounted here: %s", line)
	}
	return f
}

// Hang makes each call to the folder wait until Answer.
func (f *RemoteFolder) Hang(tb testing.TB) {
	tb.Helper()
	Must(tb, f.server.Process.Signal(syscall.SIGSTOP))
	Must(tb, Eventually(5*time.Second, func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.server.Process.Pid))
		if err == nil && !bytes.Contains(stat, []byte(") T ")) {
			err = fmt.Errorf("the server of the folder is not stopped: %s", stat)
		}
		return err
	}))
}

// Answer ends Hang.
func (f *RemoteFolder) Answer(tb testing.TB) {
	tb.Helper()
	Must(tb, f.server.Process.Signal(syscall.SIGCONT))
}

// object is a file or folder as object storage has them. The library refuses to flush a folder (EOPNOTSUPP) whose handle
// has no method for that, and the room is without end: 16 EiB, as s3fs says.
type object struct{ *fs.LoopbackNode }

func (object) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return object{child.(*fs.LoopbackNode)}
}

func (o object) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	handle, flags, errno := o.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return struct {
		fs.FileReaddirenter
		fs.FileSeekdirer
		fs.FileReleasedirer
	}{handle.(fs.FileReaddirenter), handle.(fs.FileSeekdirer), handle.(fs.FileReleasedirer)}, flags, 0
}

func (object) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	const block = 16 << 20
	*out = fuse.StatfsOut{Bsize: block, Frsize: block, Blocks: math.MaxUint64 / block, Bfree: math.MaxUint64 / block,
		Bavail: math.MaxUint64 / block, NameLen: 255}
	return 0
}

// ServeRemoteFolder serves the folder until the process is killed. Elsewhere it does nothing.
func ServeRemoteFolder() {
	path := os.Getenv(remoteFolder)
	if path == "" {
		return
	}
	var below syscall.Stat_t
	err := syscall.Stat(path+".below", &below)
	if err == nil {
		root := object{&fs.LoopbackNode{RootData: &fs.LoopbackRoot{Path: path + ".below", Dev: below.Dev}}}
		root.RootData.RootNode = root
		_, err = fs.Mount(path, root, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true,
			FsName: "accountservice-remote", Name: "remote"}})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("mounted")
	select {}
}

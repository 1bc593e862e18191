package boltstore_test

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"accountservice/internal/store/boltstore"
	"accountservice/internal/warning"
)

func TestFolderThatTakesNoCopyIsAWarning(t *testing.T) {
	t.Parallel()
	s, path, _ := logged(t, boltstore.Options{})
	elsewhere, other, _ := logged(t, boltstore.Options{RescueDir: t.TempDir()})
	user := os.Getuid()
	root := user == 0
	if root { // who may write everywhere
		user = 65534
	}
	for _, file := range []string{path, other} {
		must(t, os.Chown(filepath.Dir(file), user, -1))
		must(t, os.Chmod(filepath.Dir(filepath.Dir(file)), 0o755)) // of t.TempDir
	}
	for mode, want := range map[os.FileMode]bool{0o755: false, 0o555: true} {
		must(t, os.Chmod(filepath.Dir(path), mode))
		must(t, os.Chmod(filepath.Dir(other), mode))
		err := asUser(user, false, s.CheckFolder)
		if _, warns := err.(warning.Error); warns != want || err != nil && !want {
			t.Errorf("%o: %v; want a warning: %v", mode, err, want)
		}
		if err := asUser(user, false, elsewhere.CheckFolder); err != nil {
			t.Errorf("%o, with another place for copies: %v", mode, err)
		}
	}
	must(t, os.Chmod(filepath.Dir(path), 0o555))
	if root {
		if err := asUser(user, true, s.CheckFolder); err != nil {
			t.Errorf("with CAP_DAC_OVERRIDE: %v", err)
		}
	}
	must(t, os.Chmod(filepath.Dir(path), 0o755))
	must(t, os.Chmod(filepath.Dir(other), 0o755))
}

// asUser calls f on a thread of this user, which ends then. With override the user may write everywhere, as root may.
func asUser(user int, override bool, f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if override {
			err = unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0)
		}
		id := uintptr(user)
		if _, _, failed := syscall.RawSyscall(syscall.SYS_SETRESUID, id, id, id); failed != 0 {
			err = failed
		}
		if override && err == nil {
			const mask = 1 << unix.CAP_DAC_OVERRIDE
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			data := [2]unix.CapUserData{{Effective: mask, Permitted: mask}}
			_, _, failed := syscall.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0)
			if failed != 0 {
				err = failed
			}
		}
		if err == nil {
			err = f()
		}
	}()
	<-done
	return err
}

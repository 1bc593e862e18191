package boltstore_test

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"accountservice/internal/store/boltstore"
	"accountservice/internal/warning"
)

func TestFolderThatTakesNoCopyIsAWarning(t *testing.T) {
	t.Parallel()
	s, path, _ := logged(t, boltstore.Options{})
	folder := filepath.Dir(path)
	user := os.Getuid()
	if user == 0 { // root may write everywhere
		user = 65534
		must(t, os.Chown(folder, user, -1))
		must(t, os.Chmod(filepath.Dir(folder), 0o755)) // of t.TempDir
	}
	for mode, want := range map[os.FileMode]bool{0o755: false, 0o555: true} {
		must(t, os.Chmod(folder, mode))
		err := asUser(user, s.CheckFolder)
		if _, warns := err.(warning.Error); warns != want || err != nil && !want {
			t.Errorf("%o: %v; want a warning: %v", mode, err, want)
		}
	}
	must(t, os.Chmod(folder, 0o755))
}

// asUser calls f on a thread of this user, which ends then.
func asUser(user int, f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		id := uintptr(user)
		if _, _, failed := syscall.RawSyscall(syscall.SYS_SETRESUID, id, id, id); failed != 0 {
			err = failed
			return
		}
		err = f()
	}()
	<-done
	return err
}

package boltverify

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestVerifiedFileIsLockedForServicesAndNotForReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	writeErr := os.WriteFile(path, make([]byte, 1<<16), 0o600)
	f, openErr := open(t.Context(), path)
	service, err := os.OpenFile(path, os.O_RDWR, 0)
	if err := errors.Join(writeErr, openErr, err); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer service.Close()
	if report, err := Verify(t.Context(), path); err != nil || report.Intact {
		t.Errorf("Verify beside another one: %+v, %v", report, err)
	}
	lock := func() error { return syscall.Flock(int(service.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) } // as bbolt does
	if err := lock(); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("a service locks the file while it is read: %v", err)
	}
	f.Close()
	if err := lock(); err != nil {
		t.Errorf("a service cannot lock the file afterwards: %v", err)
	}
}

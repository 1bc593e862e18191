package boltverify_test

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltverify"
)

func TestVerifiedFileIsLockedForServicesAndNotForReaders(t *testing.T) {
	path := closedFile(t, 1)
	service, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer service.Close()
	lock := func() error { return syscall.Flock(int(service.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) } // as bbolt does
	_, err = boltverify.Salvage(t.Context(), path, func(store.Account, error) error {
		if err := lock(); !errors.Is(err, syscall.EWOULDBLOCK) {
			t.Errorf("a service locks the file while it is read: %v", err)
		}
		_, err := boltverify.Verify(t.Context(), path)
		return err
	})
	must(t, errors.Join(err, lock()))
}

package boltstore

import (
	"os"
	"path/filepath"
	"testing"
)

// Services whose databases have one name can share a folder for copies.
func TestProbeOfAFolderMayBeRemovedByAnother(t *testing.T) {
	one, err := newLocation(Options{Path: filepath.Join(t.TempDir(), "accounts.db"), RescueDir: t.TempDir()})
	must(t, err)
	other, err := newLocation(Options{Path: filepath.Join(t.TempDir(), "accounts.db"), RescueDir: one.rescueDir})
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			other.removeAbandoned()
		}
	}()
	t.Cleanup(func() { <-done })
	for range 1000 {
		must(t, one.usableFolder())
	}
}

// TestStartsBesideEachOtherRemoveNoFileInUse has another process that starts remove what it takes for abandoned, all the
// time that new databases and their witnesses are made.
func TestStartsBesideEachOtherRemoveNoFileInUse(t *testing.T) {
	l, err := newLocation(Options{Path: filepath.Join(t.TempDir(), "accounts.db")})
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			l.removeAbandoned()
		}
	}()
	t.Cleanup(func() { <-done })
	for range 50 {
		s, err := Open(t.Context(), Options{Path: l.path})
		must(t, err)
		must(t, s.Close(t.Context()))
		must(t, os.Remove(l.path))
		must(t, os.Remove(witness(l.path)))
	}
}

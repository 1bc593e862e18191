package boltstore

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// keepRemoving removes what is taken for abandoned until the test ends, as starts of other processes do.
func keepRemoving(t *testing.T, l location) {
	var removing sync.WaitGroup
	removing.Go(func() {
		for t.Context().Err() == nil {
			l.removeAbandoned()
		}
	})
	t.Cleanup(removing.Wait)
}

// Services whose databases have one name can share a folder for copies.
func TestProbeOfAFolderMayBeRemovedByAnother(t *testing.T) {
	one, err := newLocation(Options{Path: filepath.Join(t.TempDir(), "accounts.db"), RescueDir: t.TempDir()})
	must(t, err)
	other, err := newLocation(Options{Path: filepath.Join(t.TempDir(), "accounts.db"), RescueDir: one.rescueDir})
	must(t, err)
	keepRemoving(t, other)
	for range 1000 {
		must(t, one.usableFolder())
	}
}

// TestStartsBesideEachOtherRemoveNoFileInUse has another process that starts remove what it takes for abandoned, all the
// time that new databases and their witnesses are made.
func TestStartsBesideEachOtherRemoveNoFileInUse(t *testing.T) {
	l, err := newLocation(Options{Path: filepath.Join(t.TempDir(), "accounts.db")})
	must(t, err)
	keepRemoving(t, l)
	for range 50 {
		s, err := Open(t.Context(), Options{Path: l.path})
		must(t, err)
		must(t, s.Close(t.Context()))
		must(t, os.Remove(l.path))
		must(t, os.Remove(witness(l.path)))
	}
}

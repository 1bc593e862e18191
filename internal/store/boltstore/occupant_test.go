package boltstore_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"accountservice/internal/store/boltstore"
)

// descriptors is how many descriptors of this process are of the file at path.
func descriptors(t *testing.T, path string) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, link := range links {
		if file, _ := os.Readlink(link); file == path {
			n++
		}
	}
	return n
}

// What it found would be of the file before, and not of the one that is replaced then.
func TestOccupyOfAFileThatIsReplacedMeanwhileIsAnError(t *testing.T) {
	t.Parallel()
	path, other := closed(t, 0), closed(t, 5)
	holder, err := os.Open(path)
	must(t, err)
	must(t, syscall.Flock(int(holder.Fd()), syscall.LOCK_EX))
	done := make(chan error, 1)
	go func() {
		there, err := boltstore.Occupy(t.Context(), boltstore.Options{Path: path})
		if err == nil {
			there.Close()
		}
		done <- err
	}()
	await(t, "that it waits for the lock", func() bool { return descriptors(t, path) == 2 })
	must(t, os.Rename(other, path))
	must(t, holder.Close())
	wantWords(t, <-done, path, "start again")
}

package boltstore_test

import (
	"os"
	"syscall"
	"testing"

	"accountservice/internal/store/boltstore"
)

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
	await(t, "that it waits for the lock", func() bool { return len(descriptors(t, path)) == 2 })
	must(t, os.Rename(other, path))
	must(t, holder.Close())
	wantWords(t, <-done, path, "start again")
}

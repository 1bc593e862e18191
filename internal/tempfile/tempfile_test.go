package tempfile_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"accountservice/internal/tempfile"
	"accountservice/tests/harness"
)

func TestFolderThatIsNotFlushedHasTheFile(t *testing.T) {
	folder, err := os.Open(t.TempDir())
	harness.Must(t, err)
	harness.Must(t, tempfile.SyncFolder(folder))
	harness.Must(t, folder.Close())
	err = tempfile.SyncFolder(folder)
	if !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), "the new file is in its place") {
		t.Errorf("the flush of a folder failed: %v", err)
	}
}

package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"accountservice/internal/bounded"
	"accountservice/internal/tempfile"
)

// stagePattern is the name of a file that is not a backup yet. List does not know it.
const stagePattern = ".accounts-backup-*.part"

// Stage makes a new file of mode 0600 in dir, with the owner of dir, for what may become a backup. It is locked
// (flock) until it is closed. Stage first removes files in dir that a process left which was killed: those that
// nobody has locked. It ends with ctx, whatever the disk does: a file that is made later is left for the next Stage.
func Stage(ctx context.Context, dir string) (*os.File, error) {
	return bounded.Call(ctx, func() (*os.File, error) { return stage(dir) })
}

func stage(dir string) (*os.File, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: mount or create this folder; it is not created here, where it could end with a container", err)
	}
	if err != nil {
		return nil, err
	}
	tempfile.RemoveLeft(dir, stagePattern)
	return tempfile.Create(dir, stagePattern, info)
}

// Discard closes a file of Stage, and removes it unless Put gave it another name. A disk that takes longer than a second
// does so later.
func Discard(f *os.File) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	bounded.Call(ctx, func() (struct{}, error) { return struct{}{}, errors.Join(os.Remove(f.Name()), f.Close()) })
}

// fetch copies a backup of size bytes, which from gives, into a file of Stage in dir.
func fetch(ctx context.Context, dir string, from io.Reader, size int64) (*os.File, error) {
	f, err := Stage(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err = tempfile.CheckRoom(f, size); err == nil {
		_, err = io.Copy(f, readerUntil{ctx, from})
	}
	if err != nil {
		Discard(f)
		return nil, err
	}
	return f, nil
}

// readerUntil ends with ctx.
type readerUntil struct {
	ctx  context.Context
	from io.Reader
}

func (r readerUntil) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}

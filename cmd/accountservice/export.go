package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"accountservice/internal/store/transfer"
)

const (
	// pageTimeout bounds each read of the database in an export.
	pageTimeout = 30 * time.Second
	// readerRetry is how often a FIFO is opened again until it has a reader.
	readerRetry = 50 * time.Millisecond
)

// newExportCommand writes all accounts as lines.
func newExportCommand(p program) *cobra.Command {
	var url, output string
	cmd := &cobra.Command{
		Use: "export", Short: "Write all accounts as lines of JSON; exit 0, 1, 2 or 4",
		Long: "Writes all accounts, one JSON object a line in the order of their ids, to standard output, or with\n" +
			"--output to a file, which appears whole or not at all. A new file can be read by its owner only; a replaced\n" +
			"one keeps owner and mode. A FIFO or device is written as it comes. The accounts come from the database of the\n" +
			"configuration, which is not changed and which no service may have open, or with --url from a service.\n\n" +
			"Exit codes: 0 all accounts are written; 1 failed; 2 configuration or usage; 4 told to stop before that.\n" +
			"After another code than 0, what was written to standard output is not whole.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.export(cmd.Context(), url, output) },
	}
	cmd.Flags().StringVar(&url, "url", "", urlHelp)
	cmd.Flags().StringVar(&output, "output", "-", "file to write, replaced if it is there; - is standard output")
	return cmd
}

func (p program) export(ctx context.Context, url, output string) error {
	var from func(context.Context, io.Writer) error
	if url != "" {
		service, err := newClient(url)
		if err != nil {
			return err
		}
		from = service.Export
	} else {
		accounts, err := p.openReader(ctx)
		if err != nil {
			return err
		}
		defer accounts.Close()
		from = func(ctx context.Context, w io.Writer) error { return transfer.Export(ctx, accounts, w, pageTimeout) }
	}
	shown := newProgress(p.stderr)
	err := p.writeOut(ctx, output, func(w io.Writer) error { return from(ctx, io.MultiWriter(w, shown)) })
	if err == nil {
		fmt.Fprintf(p.stderr, "exported %d accounts in %s\n", shown.lines, shown.elapsed())
	}
	return err
}

// writeOut lets write fill what is at path: "-" or any other name of standard output, a FIFO or device, or a file.
func (p program) writeOut(ctx context.Context, path string, write func(io.Writer) error) error {
	there, err := os.Stat(path)
	switch {
	case path == "-", err == nil && isOpenAs(p.stdout, there):
		return write(p.stdout)
	case err == nil && there.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0:
		return writeThrough(ctx, path, write)
	}
	there, err = os.Lstat(path) // nil with an error
	if err == nil && !there.Mode().IsRegular() {
		return fmt.Errorf("--output %s is no regular file (%s): name another", path, there.Mode())
	}
	return replaceFile(path, there, write)
}

// isOpenAs says whether w is open on this file.
func isOpenAs(w io.Writer, file fs.FileInfo) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && os.SameFile(info, file)
}

// writeThrough lets write fill a FIFO, once it has a reader, or a device. It ends when ctx does.
func writeThrough(ctx context.Context, path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	for errors.Is(err, syscall.ENXIO) {
		select {
		case <-time.After(readerRetry):
			f, err = os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		case <-ctx.Done():
			return fmt.Errorf("nothing reads %s: %w", path, ctx.Err())
		}
	}
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { f.Close() })() // ends a write that waits for the reader
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// replaceFile lets write fill the file at path, which appears whole or stays as it was. old is the file there, or nil:
// a new file has the folder's owner, and is for that one alone, as accounts are private.
func replaceFile(path string, old fs.FileInfo, write func(io.Writer) error) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("--output %s: its folder can't be opened; is it there? %w", path, err)
	}
	defer folder.Close()
	like, mode := old, fs.FileMode(0o600)
	if old != nil {
		mode = old.Mode().Perm()
	} else if like, err = folder.Stat(); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder.Name(), ".export-*")
	if err != nil {
		return fmt.Errorf("--output %s: cannot create a file in its folder: %w", path, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	owner := like.Sys().(*syscall.Stat_t)
	f.Chown(int(owner.Uid), int(owner.Gid)) // works for root, who alone can need it
	if err := write(f); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return folder.Sync() // the new name survives a loss of power
}

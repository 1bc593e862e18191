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

	"accountservice/internal/client"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/internal/store/transfer"
	"accountservice/internal/tempfile"
)

const (
	// pageTimeout bounds each read of the database in an export.
	pageTimeout = 30 * time.Second
	// readerRetry is how often a FIFO is opened again until it has a reader.
	readerRetry = 50 * time.Millisecond
)

type exporting struct {
	program
	at              service
	output, salvage string
	report          boltverify.Report // of a salvage
}

func newExportCommand(p program) *cobra.Command {
	e := &exporting{program: p}
	cmd := &cobra.Command{
		Use: "export", Short: "Write all accounts as lines of JSON; exit 0, 1, 2 or 4",
		Long: "Writes all accounts, one JSON object a line in the order of their ids, to standard output, or with\n" +
			"--output to a file, which appears whole or not at all. A new file can be read by its owner only; a replaced\n" +
			"one keeps owner and mode. A FIFO or device is written as it comes. The accounts come from the database of the\n" +
			"configuration, which is not changed and which no service may have open, or with --url from a service, which it\n" +
			"asks again for two minutes while that is busy.\n\n" +
			"An account whose record is damaged is the line {\"damaged\":\"ID\"}. --salvage FILE writes all accounts that\n" +
			"can be read of a database file, also of one that a service refuses, and says what it could not read.\n\n" +
			"Exit codes: 0 all accounts are written; 1 failed, or all are written but those that are damaged, which it\n" +
			"says; 2 configuration or usage; 4 told to stop before that. After another code than 0, what was written to\n" +
			"standard output is not whole.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return e.run(cmd.Context()) },
	}
	e.at.addFlags(cmd)
	cmd.Flags().StringVar(&e.output, "output", "-", "file to write, replaced if it is there; - is standard output")
	cmd.Flags().StringVar(&e.salvage, "salvage", "", "damaged database file to read, in place of the configuration's")
	return cmd
}

func (e *exporting) run(ctx context.Context) error {
	if err := e.spared(); err != nil {
		return err
	}
	from, done, err := e.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	shown, tally := newProgress(e.stderr), &transfer.Tally{}
	err = e.writeOut(ctx, e.output, func(w io.Writer) error { return from(ctx, io.MultiWriter(w, shown, tally)) })
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "exported %d accounts in %s\n", tally.Accounts, shown.elapsed())
	if e.salvage != "" && !e.report.Intact {
		return unsalvaged(e.stderr, e.report)
	}
	if tally.Damaged > 0 {
		return fmt.Errorf("%d accounts are damaged: lines with \"damaged\" name them", tally.Damaged)
	}
	return nil
}

// spared refuses an --output that is what the lines come from, or the database of the configuration if there is one.
func (e *exporting) spared() error {
	databases := []string{e.salvage}
	if cfg, err := e.load(); err == nil {
		databases = append(databases, cfg.Store.Bolt.Path)
	}
	if err := spares(e.output, databases...); err != nil {
		return &exit{exitUsage, fmt.Errorf("--output %s %w", e.output, err)}
	}
	return nil
}

// open opens what the lines come from, which from writes.
func (e *exporting) open(ctx context.Context) (from func(context.Context, io.Writer) error, done func() error,
	err error) {
	switch {
	case e.at.url != "" && e.salvage != "":
		return nil, nil, &exit{exitUsage, errors.New("--salvage reads a file, and --url asks a service: give one of them")}
	case e.at.url != "":
		remote, err := e.newClient(e.at, "--url")
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context, w io.Writer) error { return remote.Export(ctx, w, e.retry(ctx)) },
			func() error { return nil }, nil
	case e.salvage != "":
		return func(ctx context.Context, w io.Writer) (err error) {
			e.report, err = salvageTo(ctx, w, e.salvage)
			return err
		}, func() error { return nil }, nil
	}
	accounts, done, err := e.openReader(ctx)
	return func(ctx context.Context, w io.Writer) error {
		return transfer.Export(ctx, accounts, w, pageTimeout)
	}, done, err
}

// retry prints why a request is sent again, and ends the wait when ctx does.
func (p program) retry(ctx context.Context) client.Retry {
	return client.Retry{Stop: ctx.Done(), Retrying: func(cause error, wait time.Duration) {
		fmt.Fprintf(p.stderr, "%v; trying again in %s\n", cause, wait)
	}}
}

// writeOut lets write fill what is at path: "-" or any other name of standard output, a FIFO or device, or a file.
func (p program) writeOut(ctx context.Context, path string, write func(io.Writer) error) error {
	there, err := os.Stat(path)
	switch {
	case path == "-", err == nil && isOpenAs(p.stdout, there):
		return write(forTerminal(p.stdout))
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
	if err := write(forTerminal(f)); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// replaceFile lets write fill the file at path, which appears whole or stays as it was. old is the file there, or nil:
// a new file has the folder's owner, and is for that one alone, as accounts are private.
func replaceFile(path string, old fs.FileInfo, write func(io.Writer) error) error {
	folder, err := os.Open(filepath.Dir(path)) // to be flushed at the end, it must be readable
	if err != nil {
		return fmt.Errorf("--output %s: its folder can't be opened; is it there? %w", path, err)
	}
	defer folder.Close()
	like, err := folder.Stat()
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	if old != nil {
		like, mode = old, old.Mode().Perm()
	}
	const pattern = ".accountservice-export-*.part"
	tempfile.RemoveLeft(folder.Name(), pattern)
	f, err := tempfile.Create(folder.Name(), pattern, like)
	if err != nil {
		return fmt.Errorf("--output %s: cannot create a file in its folder: %w", path, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return tempfile.Rename(f, path)
}

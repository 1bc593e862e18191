package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"accountservice/internal/client"
	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

// newImportCommand stores lines in a database or through a running service.
func newImportCommand(p program) *cobra.Command {
	var url string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "import FILE|-", Short: "Store accounts from lines of JSON; exit 0, 1, 2 or 4",
		Long: "Reads accounts from FILE, or from standard input, one JSON object a line. Stores them in the database of the\n" +
			"configuration, which no service may have open meanwhile, or with --url through a running service. An account\n" +
			"that is already stored with the same name, email and labels is left alone. So an import that was cut off is\n" +
			"resumed by running it again, and a second run changes nothing, unless the file has an id twice: the later line\n" +
			"wins, and each run replaces that account again.\n\n" +
			"The import stops at the first batch with a fault and names each faulty line. With --dry-run it changes nothing,\n" +
			"reads on, and counts what it would do.\n\n" +
			"Exit codes: 0 all lines are stored; 1 failed; 2 configuration or usage; 4 told to stop before it was done.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			in, err := openInput(ctx, args[0])
			if err != nil {
				return p.failed(ctx, "import", err)
			}
			defer in.Close()
			shown := newMeter(p.stderr, "lines", in.size)
			to, batch, done, err := p.openTarget(ctx, url, dryRun, shown)
			if err != nil {
				return p.failed(ctx, "import", err)
			}
			defer done()
			progress, err := transfer.Import(ctx, transfer.NewReader(in, batch), to, transfer.Options{
				Check: dryRun,
				Done:  func(p transfer.Progress) { shown.show(p.Lines, p.Bytes) },
			})
			return p.imported(ctx, in.name, dryRun, shown, progress, err)
		},
	}
	cmd.Flags().StringVar(&url, "url", "", urlHelp)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check every line and count what would be done, and change nothing")
	return cmd
}

// input is what an import reads.
type input struct {
	io.ReadCloser
	name string
	size int64 // in bytes, 0 if not known
}

func openInput(ctx context.Context, name string) (input, error) {
	if name == "-" {
		return input{stoppable(ctx, func() (*os.File, error) { return os.Stdin, nil }), "standard input", 0}, nil
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return input{}, err
	case info.IsDir():
		return input{}, fmt.Errorf("%s is a folder", name)
	case !info.Mode().IsRegular():
		return input{stoppable(ctx, func() (*os.File, error) { return os.Open(name) }), name, 0}, nil
	}
	f, err := os.Open(name)
	return input{f, name, info.Size()}, err
}

// stoppable reads until ctx ends from the file that open returns. Opening a FIFO
// and reading from a pipe or a terminal can wait for ever: that goroutine then
// ends with the process.
func stoppable(ctx context.Context, open func() (*os.File, error)) io.ReadCloser {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	go func() {
		f, err := open()
		if err == nil {
			_, err = io.Copy(in, f)
		}
		in.CloseWithError(err)
	}()
	return out
}

// openTarget opens what the lines go to, in batches of at most so many: the
// service at url, or else the database.
func (p program) openTarget(ctx context.Context, url string, dryRun bool, shown *meter) (to transfer.Target, batch int, done func(), err error) {
	if url != "" {
		service, err := newClient(url)
		return client.Importer{
			Client: service,
			DryRun: dryRun,
			Stop:   ctx.Done(),
			Retrying: func(cause error, wait time.Duration) {
				shown.say("%v; trying again in %s", cause, wait)
			},
		}, client.MaxBatch, func() {}, err
	}
	accounts, done, err := p.openDatabase(ctx, !dryRun)
	switch {
	case dryRun && errors.Is(err, errNoDatabase):
		return emptyTarget{}, store.MaxMany, func() {}, nil
	case dryRun:
		return transfer.DryRun{Store: accounts}, store.MaxMany, done, err
	}
	return accounts, store.MaxMany, done, err
}

// emptyTarget is the target of a dry run for a database that does not exist yet.
type emptyTarget struct{}

func (emptyTarget) Import(_ context.Context, accounts []store.Account) (store.Imported, error) {
	return store.Imported{Created: len(accounts)}, nil
}

// imported prints what an import did, why it ended, and what it left behind.
func (p program) imported(ctx context.Context, name string, dryRun bool, shown *meter, done transfer.Progress, err error) error {
	shown.clear()
	verb := "imported"
	if dryRun {
		verb = "would import"
	}
	fmt.Fprintf(p.stdout, "%s %d lines in %s: %d created, %d replaced, %d unchanged\n",
		verb, done.Lines, shown.elapsed(), done.Created, done.Replaced, done.Unchanged)
	var ended *transfer.Error
	if !errors.As(err, &ended) {
		return err
	}
	for _, f := range ended.Faults {
		shown.say("%s:%d: %s: %s", name, f.Line, f.Pointer, f.Detail)
	}
	switch {
	case errors.Is(ended.Err, context.Canceled):
		shown.say("accountservice import: told to stop before it was done")
	case ended.Err != nil:
		shown.say("accountservice import: %s, lines %d to %d: %v", name, ended.First, ended.Last, ended.Err)
	}
	if !dryRun {
		shown.say("%s Run the whole import again to go on.", ended.Stored())
	}
	if ctx.Err() != nil {
		return &exit{exitCutShort, err}
	}
	return &exit{exitFailed, err}
}

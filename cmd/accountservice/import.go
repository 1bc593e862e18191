package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"accountservice/internal/client"
	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/transfer"
)

func newImportCommand(p program) *cobra.Command {
	var at service
	var dryRun bool
	cmd := &cobra.Command{
		Use: "import FILE|-", Short: "Store accounts from lines of JSON; exit 0, 1, 2 or 4",
		Long: "Reads accounts from FILE, or from standard input, one JSON object a line, also in gzip, and stores them\n" +
			"in the database of the configuration, which no service may have open, or with --url through a service. What is\n" +
			"stored already is left alone, so that an import that was cut off is resumed by running it again.\n\n" +
			"It stops at the first batch with a fault and names each faulty line. With --dry-run it changes nothing, reads\n" +
			"on, and counts what it would do. Lines with \"damaged\", which an export has for accounts that it could not read,\n" +
			"are counted and store nothing.\n\n" +
			"Exit codes: 0 all lines are stored; 1 failed; 2 configuration or usage; 4 told to stop before that.",
		Args: oneArgument("the file with the accounts, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := openInput(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			return importing{p, in, dryRun}.run(cmd.Context(), at)
		},
	}
	at.addFlags(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check every line and count what would be done, and change nothing")
	return cmd
}

type importing struct {
	program
	in     input
	dryRun bool
}

// run imports all lines and prints what it did, why it ended, and what it left behind.
func (i importing) run(ctx context.Context, at service) error {
	in := bufio.NewReader(i.in)
	in.Peek(1) // a pipe that nobody writes to must not keep the database locked; Import gets the error of it
	to, batch, done, err := i.openTarget(ctx, at)
	if err != nil {
		return err
	}
	defer done()
	shown := newProgress(i.stderr)
	stored, err := transfer.Import(ctx, transfer.NewReader(in, batch), to, transfer.Options{
		ReadOn: i.dryRun,
		Done:   func(p transfer.Progress) { shown.reached(p.Lines) },
	})
	format := "imported %d lines in %s: %d created, %d replaced, %d unchanged\n"
	if i.dryRun {
		format = "checked %d lines in %s: of those without faults %d would be created, %d replaced, %d unchanged\n"
	}
	_, unsaid := fmt.Fprintf(i.stdout, format, stored.Lines, shown.elapsed(),
		stored.Created, stored.Replaced, stored.Unchanged)
	if stored.Damaged > 0 {
		i.say("%d of these lines only name accounts that were damaged when they were exported; of those nothing is stored",
			stored.Damaged)
	}
	ended, is := errors.AsType[*transfer.Error](err)
	if !is {
		return errors.Join(err, unsaid)
	}
	i.explain(ended)
	if ctx.Err() != nil {
		return &exit{code: exitCutShort}
	}
	return &exit{code: exitFailed}
}

func (i importing) explain(ended *transfer.Error) {
	for _, f := range ended.Faults {
		i.say("%s:%d: %s: %s", i.in.name, f.Line, f.Pointer, f.Detail)
	}
	switch {
	case errors.Is(ended.Err, context.Canceled):
		i.say("accountservice import: told to stop before it was done")
	case ended.Err != nil:
		i.say("accountservice import: %s, lines %d to %d: %v", i.in.name, ended.First, ended.Last, ended.Err)
	}
	if !i.dryRun {
		i.say("%s Run the whole import again to go on.", ended.Stored())
	}
}

func (i importing) say(format string, args ...any) { fmt.Fprintf(i.stderr, format+"\n", args...) }

// openTarget opens what the lines go to, in batches of at most so many: the service at url, or else the database.
func (i importing) openTarget(ctx context.Context, at service) (to transfer.Target, batch int, done func() error,
	err error) {
	switch {
	case at.url != "":
		remote, err := i.newClient(at, "--url")
		to = client.Importer{Client: remote, DryRun: i.dryRun, Retry: i.retry(ctx)}
		return to, client.MaxBatch, func() error { return nil }, err
	case i.dryRun:
		accounts, done, err := i.openReader(ctx)
		if errors.Is(err, fs.ErrNotExist) {
			empty := &boltstore.Reader{}
			accounts, done, err = empty, empty.Close, nil
		}
		return transfer.DryRun{Store: accounts}, store.MaxMany, done, err
	}
	accounts, done, err := i.openStore(ctx)
	return accounts, store.MaxMany, done, err
}

// input is what an import reads.
type input struct {
	io.ReadCloser
	name string
}

func openInput(ctx context.Context, name string) (input, error) {
	if name == "-" {
		return input{stoppable(ctx, func() (*os.File, error) { return os.Stdin, nil }), "standard input"}, nil
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return input{}, err
	case info.IsDir():
		return input{}, fmt.Errorf("%s is a folder", name)
	case !info.Mode().IsRegular():
		return input{stoppable(ctx, func() (*os.File, error) { return os.Open(name) }), name}, nil
	}
	f, err := os.Open(name)
	return input{f, name}, err
}

// stoppable reads until ctx ends from the file that open returns. Opening a FIFO and reading from a pipe or a terminal
// can wait for ever: that goroutine then ends with the process.
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

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"accountservice/config"
	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/transfer"
)

// loadConfig reads the configuration; its error is an exit.
type loadConfig func() (config.Loaded, error)

// newImportCommand puts lines into a database or a running service.
func newImportCommand(load loadConfig, stdout, stderr io.Writer) *cobra.Command {
	var url string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "import FILE|-", Short: "Store accounts from lines of JSON; exit 0, 1, 2 or 4",
		Long: "Reads accounts from FILE, or from standard input, one JSON object a line, and stores them: in the database of the\n" +
			"configuration, which no service may have open then, or with --url through a running service. An account that is\n" +
			"there already with the same name, email and labels is left alone. So an import that was cut off, by whatever, is\n" +
			"resumed by running it again, and running it twice changes nothing, unless an id stands in it twice: there the\n" +
			"later line wins, and each run replaces it anew.\n\n" +
			"It stops at the first batch of lines with a fault and names each faulty line. --dry-run changes nothing, reads on,\n" +
			"and counts what would be done.\n\n" +
			"Exit codes: 0 all lines are stored; 1 failed; 2 configuration or usage; 4 told to stop before it was done.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := openInput(cmd.Context(), args[0])
			if err != nil {
				err = failed(stderr, "import", err)
				if cmd.Context().Err() != nil {
					return &exit{exitCutShort, err}
				}
				return err
			}
			defer in.Close()
			shown := newMeter(stderr, "lines", in.size)
			if url != "" {
				service, err := newRemote(url)
				if err != nil {
					return &exit{exitUsage, err}
				}
				service.dryRun, service.stop, service.say = dryRun, cmd.Context().Done(), shown.say
				return importLines(cmd.Context(), in, remoteBatch, service, dryRun, stdout, shown)
			}
			to, done, err := openTarget(cmd.Context(), load, dryRun, stderr)
			if err != nil {
				return failed(stderr, "import", err)
			}
			defer done()
			return importLines(cmd.Context(), in, store.MaxMany, to, dryRun, stdout, shown)
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "of a running service, such as http://localhost:6767; default: the file of store.bolt.path")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check every line and count what would be done, and change nothing")
	return cmd
}

// input is what an import reads.
type input struct {
	io.Reader
	io.Closer
	name string
	size int64 // in bytes, 0 if not known
}

func openInput(ctx context.Context, name string) (input, error) {
	if name == "-" {
		return input{untilDone(ctx, os.Stdin), io.NopCloser(nil), "standard input", 0}, nil
	}
	f, err := openUntilDone(ctx, name)
	if err != nil {
		return input{}, err
	}
	info, err := f.Stat()
	switch {
	case err == nil && info.IsDir():
		err = fmt.Errorf("%s is a folder", name)
	case err == nil && info.Mode().IsRegular():
		return input{f, f, name, info.Size()}, nil
	case err == nil:
		return input{untilDone(ctx, f), f, name, 0}, nil
	}
	f.Close()
	return input{}, err
}

// openUntilDone opens a file until ctx ends: a FIFO waits for its writer.
func openUntilDone(ctx context.Context, name string) (*os.File, error) {
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened, 1)
	go func() {
		f, err := os.Open(name)
		done <- opened{f, err}
	}()
	select {
	case o := <-done:
		return o.f, o.err
	case <-ctx.Done(): // and with it the process, and the wait
		return nil, fmt.Errorf("told to stop before %s could be opened: %w", name, ctx.Err())
	}
}

// untilDone reads from r until ctx ends: a read from a pipe or a terminal may
// wait for ever.
func untilDone(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	return out
}

// openTarget opens the database of the configuration.
func openTarget(ctx context.Context, load loadConfig, dryRun bool, stderr io.Writer) (to transfer.Target, done func(), err error) {
	cfg, err := load()
	if err != nil {
		return nil, nil, err
	}
	path := cfg.Store.Bolt.Path
	if _, err := os.Stat(path); dryRun && errors.Is(err, fs.ErrNotExist) && cfg.Store.Bolt.Create != "never" {
		return nowhere{}, func() {}, nil
	}
	accounts, err := openDatabase(ctx, cfg.Config, cfg.Store.Bolt.Create == "never" || dryRun, stderr)
	if err != nil {
		return nil, nil, err
	}
	done = func() { closeStore(accounts, newLogger(cfg.Log, stderr)) }
	if dryRun {
		return transfer.DryRun{Store: accounts}, done, nil
	}
	return accounts, done, nil
}

// openDatabase opens the file of the configuration for a command. Nothing is
// seeded: who imports wants their own accounts alone.
func openDatabase(ctx context.Context, cfg config.Config, mustExist bool, stderr io.Writer) (*boltstore.Store, error) {
	limitMemory()
	if _, err := os.Stat(cfg.Store.Bolt.Path); mustExist && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store.bolt.path: %w", err)
	}
	accounts, err := boltstore.Open(ctx, boltstore.Options{
		Path:        cfg.Store.Bolt.Path,
		OpenTimeout: cfg.Store.Bolt.OpenTimeout,
		MustExist:   mustExist,
		Log:         newLogger(cfg.Log, stderr),

		AcceptOlderMeta: cfg.Store.Bolt.AcceptOlderMeta,
	})
	if err != nil {
		return nil, fmt.Errorf("%w\nIf a service serves this database, give its address with --url", err)
	}
	return accounts, nil
}

// nowhere is the target of a dry run for a database that would be made.
type nowhere struct{}

func (nowhere) Import(_ context.Context, accounts []store.Account) (store.Imported, error) {
	return store.Imported{Created: len(accounts)}, nil
}

// remoteBatch is how many accounts one request has: what a service stores in one
// transaction.
const remoteBatch = 1000

func importLines(ctx context.Context, in input, batch int, to transfer.Target, dryRun bool, stdout io.Writer, shown *meter) error {
	done, err := transfer.Import(ctx, transfer.NewReader(in, batch), to, transfer.Options{
		ReadOn: dryRun,
		Done:   func(p transfer.Progress) { shown.show(p.Lines, p.Bytes) },
	})
	shown.clear()
	verb := "imported"
	if dryRun {
		verb = "would import"
	}
	fmt.Fprintf(stdout, "%s %d lines in %s: %d created, %d replaced, %d unchanged\n",
		verb, done.Lines, time.Since(shown.begun).Round(time.Millisecond), done.Created, done.Replaced, done.Unchanged)
	var ended *transfer.Error
	if !errors.As(err, &ended) {
		return err
	}
	for _, f := range ended.Faults {
		shown.say("%s:%d: %s: %s", in.name, f.Line, f.Pointer, f.Detail)
	}
	switch {
	case errors.Is(ended.Err, context.Canceled):
		shown.say("accountservice import: told to stop")
	case ended.Err != nil:
		shown.say("accountservice import: %s, lines %d to %d: %v", in.name, ended.First, ended.Last, ended.Err)
	}
	if !dryRun {
		shown.say("%s Run the whole import again to go on.", ended.Stored())
	}
	if ctx.Err() != nil {
		return &exit{exitCutShort, err}
	}
	return &exit{exitFailed, err}
}

// failed says an error of a command, and returns it with its exit code.
func failed(stderr io.Writer, command string, err error) error {
	var known *exit
	if errors.As(err, &known) {
		return err
	}
	fmt.Fprintf(stderr, "accountservice %s: %v\n", command, err)
	return &exit{exitFailed, err}
}

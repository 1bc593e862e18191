package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"accountservice/internal/store/transfer"
)

// pageTimeout bounds each read of the database in an export.
const pageTimeout = 30 * time.Second

// newExportCommand writes all accounts as lines.
func newExportCommand(p program) *cobra.Command {
	var url, output string
	cmd := &cobra.Command{
		Use: "export", Short: "Write all accounts as lines of JSON; exit 0, 1, 2 or 4",
		Long: "Writes all accounts, one JSON object a line in the order of their ids, to standard output, or with\n" +
			"--output to a file. The file appears whole or not at all. A new one can be read by its owner only, a replaced\n" +
			"one keeps its mode. The accounts come from the database of the configuration, which no service may have open\n" +
			"meanwhile, or with --url from a running service. A change during the export is in it or not.\n\n" +
			"Exit codes: 0 all accounts are written; 1 failed; 2 configuration or usage; 4 told to stop before it was done.\n" +
			"After another code than 0, what was written to standard output is not whole.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.export(cmd.Context(), url, output); err != nil {
				return p.failed(cmd.Context(), "export", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", "", urlHelp)
	cmd.Flags().StringVar(&output, "output", "", "file to write, replaced if it is there; default: standard output")
	return cmd
}

func (p program) export(ctx context.Context, url, output string) error {
	from, done, err := p.openSource(ctx, url)
	if err != nil {
		return err
	}
	defer done()
	shown := newMeter(p.stderr, "accounts", 0)
	shown.live = shown.live && (output != "" || !isTerminal(p.stdout)) // the lines would run through the meter's
	err = writeOut(output, p.stdout, func(w io.Writer) error { return from(ctx, io.MultiWriter(w, shown)) })
	shown.clear()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "exported %d accounts in %s\n", shown.count, shown.elapsed())
	return nil
}

// source writes all accounts as lines.
type source func(context.Context, io.Writer) error

// openSource returns the source of the service at url, or else of the database.
func (p program) openSource(ctx context.Context, url string) (from source, done func(), err error) {
	if url != "" {
		service, err := newClient(url)
		return service.Export, func() {}, err
	}
	accounts, done, err := p.openDatabase(ctx, false)
	return func(ctx context.Context, w io.Writer) error {
		return transfer.Export(ctx, accounts, w, pageTimeout)
	}, done, err
}

// writeOut lets write fill the file at path, which appears whole or stays as it
// was; "" is stdout. A new file is for its owner alone, as accounts are private;
// a replaced one keeps its mode.
func writeOut(path string, stdout io.Writer, write func(io.Writer) error) error {
	if path == "" {
		return write(stdout)
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file (%s); write to standard output", path, info.Mode())
	}
	folder := filepath.Dir(path)
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(folder), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if err := write(f); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close()) // the new name survives a loss of power
}

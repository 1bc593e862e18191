package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"accountservice/internal/store/boltstore/boltverify"
)

// newVerifyCommand is verify, for people and scripts.
func newVerifyCommand(stdout io.Writer) *cobra.Command {
	var timeout time.Duration
	var format string
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Check a database file that no service has open; exit 0, 1 or 2",
		Long: "Reads every page and every record of a database file and says all damage it finds. It never changes the\n" +
			"file; while it reads, no service can open it. Of a database in use it takes a copy, made while the service\n" +
			"was stopped or from a snapshot of its volume.\n\n" +
			"Exit codes: 0 intact; 1 damaged, with a line for each finding; 2 no verdict: wrong usage, no such file,\n" +
			"a service has it open, or the time was up before anything was found.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			show, known := map[string]func(io.Writer, boltverify.Report) error{"text": verdict, "json": verdictJSON}[format]
			if !known || timeout <= 0 {
				return &exit{exitUsage, fmt.Errorf("--format must be text or json, and --timeout above 0: they are %q and %s",
					format, timeout)}
			}
			report, err := verifyFile(cmd.Context(), args[0], timeout)
			if err != nil {
				return &exit{exitUsage, err}
			}
			if err := show(stdout, report); err != nil {
				return &exit{exitUsage, err}
			}
			if !report.Intact {
				return &exit{exitFailed, errors.New("the database is damaged")}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long it may take")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// hangAfter is how long a verification may go on after its end was ordered: it waits for a read then, and for a disk
// that hangs the command does not wait.
const hangAfter = 2 * time.Second

func verifyFile(ctx context.Context, path string, timeout time.Duration) (boltverify.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	type result struct {
		report boltverify.Report
		err    error
	}
	done, hung := make(chan result, 1), make(chan struct{})
	defer context.AfterFunc(ctx, func() { time.AfterFunc(hangAfter, func() { close(hung) }) })()
	go func() {
		report, err := boltverify.Verify(ctx, path)
		done <- result{report, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-hung:
		r.err = fmt.Errorf("bolt verify %s: a read does not end: %w", path, ctx.Err())
	}
	if errors.Is(r.err, context.DeadlineExceeded) {
		r.err = fmt.Errorf("%w after %s; the file is large or its disk hangs: --timeout grants more", r.err, timeout)
	}
	return r.report, r.err
}

func verdict(w io.Writer, r boltverify.Report) error {
	if r.Intact {
		_, err := fmt.Fprintf(w, "%s is intact: %d accounts (%d without checksum), %d of %d pages in use, transaction %d\n",
			r.File, r.Accounts, r.Unchecked, r.Pages-r.FreePages, r.Pages, r.Transaction)
		return err
	}
	fmt.Fprintf(w, "%s is damaged:\n", r.File)
	for _, f := range r.Findings {
		fmt.Fprintln(w, " ", f)
	}
	if r.Omitted > 0 {
		fmt.Fprintf(w, "  and %d more\n", r.Omitted)
	}
	_, err := fmt.Fprintln(w, "Restore a backup, and keep this file: what can be read of it may be newer.")
	return err
}

func verdictJSON(w io.Writer, r boltverify.Report) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

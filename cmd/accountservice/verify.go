package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"accountservice/internal/store/boltstore"
)

// verifyWorker is the command that verify runs in a process of its own.
const verifyWorker = "verify-worker"

// newVerifyCommands are verify, for people and scripts, and its worker.
func newVerifyCommands(stdout io.Writer) []*cobra.Command {
	var timeout time.Duration
	var format string
	verify := &cobra.Command{
		Use: "verify FILE", Short: "Check a database file that no service has open; exit 0, 1 or 2",
		Long: "Reads every page and every record of a database file and says all damage it finds. It never changes the\n" +
			"file; while it reads, no service can open it. Of a database in use it takes a copy, made while the service\n" +
			"was stopped or from a snapshot of its volume.\n\n" +
			"Exit codes: 0 intact; 1 damaged, with a line for each finding; 2 no verdict: wrong usage, no such file,\n" +
			"a service has it open, or the time was up before anything was found.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			show, known := map[string]func(io.Writer, boltstore.Report) error{"text": verdict, "json": verdictJSON}[format]
			if !known || timeout <= 0 {
				return &exit{exitUsage, fmt.Errorf("--format must be text or json, and --timeout above 0: they are %q and %s", format, timeout)}
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
	verify.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long it may take")
	verify.Flags().StringVar(&format, "format", "text", "text or json")
	worker := &cobra.Command{
		Use: verifyWorker + " FILE", Hidden: true, Args: cobra.ExactArgs(1),
		Run: func(_ *cobra.Command, args []string) {
			boltstore.VerifyWorker(args[0], os.Stdin, stdout)
		},
	}
	return []*cobra.Command{verify, worker}
}

func verifyFile(ctx context.Context, path string, timeout time.Duration) (boltstore.Report, error) {
	program, err := os.Executable()
	if err != nil {
		return boltstore.Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	report, err := boltstore.Verify(ctx, path, exec.Command(program, verifyWorker, "--", path))
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w after %s; the file is large or its disk hangs: --timeout grants more", err, timeout)
	}
	return report, err
}

func verdict(w io.Writer, r boltstore.Report) error {
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

func verdictJSON(w io.Writer, r boltstore.Report) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"accountservice/internal/bounded"
	"accountservice/internal/store/boltstore/boltverify"
)

func newVerifyCommand(p program) *cobra.Command {
	var timeout time.Duration
	var format string
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Check a Bolt database file that no service has open; exit 0, 1 or 2",
		Long: "Reads every page and every record of a database file and reports all damage that it finds. It changes\n" +
			"nothing; while it reads, no service can open the file. To check a database in use, give it a copy, made while\n" +
			"the service was stopped or from a snapshot of its volume.\n\n" +
			"Exit codes: 0 intact; 1 damaged, with a line for each finding; 2 no verdict: wrong usage, no such file,\n" +
			"no database but an export or gzip, a service has it open, or the time was up before anything was found.",
		Args: oneArgument("the database file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			show, known := map[string]func(io.Writer, boltverify.Report) error{"text": showText, "json": showJSON}[format]
			if !known || timeout <= 0 {
				return &exit{exitUsage, fmt.Errorf("--format must be text or json, and --timeout above 0: they are %q and %s",
					format, timeout)}
			}
			report, err := verifyWithin(cmd.Context(), args[0], timeout)
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("%w after %s; the file is large or its disk hangs: --timeout grants more", err, timeout)
			}
			if err == nil {
				err = show(p.stdout, report)
			}
			switch {
			case err == nil && !report.Intact:
				return &exit{code: exitFailed}
			case err != nil:
				return &exit{exitUsage, err}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long it may take")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// verifyWithin waits for a read 2 seconds longer than it may take: a disk that hangs may never end it.
func verifyWithin(ctx context.Context, path string, timeout time.Duration) (boltverify.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	longer, stop := context.WithTimeout(context.WithoutCancel(ctx), timeout+2*time.Second)
	defer stop()
	report, err := bounded.Call(longer, func() (boltverify.Report, error) { return boltverify.Verify(ctx, path) })
	if longer.Err() != nil {
		err = fmt.Errorf("bolt verify %s: a read does not end: %w", path, longer.Err())
	}
	return report, err
}

func showText(w io.Writer, r boltverify.Report) error {
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
	if r.Damaged > 0 {
		fmt.Fprintf(w, "%d of %d accounts have damaged records: %s\n", r.Damaged, r.Accounts, firstOf(r.DamagedIDs, r.Damaged))
	}
	cure := "Restore a backup, and keep this file: what can be read of it may be newer, and accountservice export " +
		"--salvage writes that."
	switch {
	case r.Size == 0:
		cure = "Restore a backup. To begin with a new database instead, remove this file and its witness."
	case r.OnlyOlderMeta():
		cure = startCures
	case r.OnlyRecords():
		cure = "A service serves all accounts."
		if r.Damaged > 0 {
			cure = "A service serves all other accounts. Replace these by PUT or import, or remove them by DELETE."
		}
		if r.Own > 0 {
			cure += " A start makes the records of the service itself anew."
		}
		if r.Minor > 0 {
			cure += curesOfMinor
		}
	}
	_, err := fmt.Fprintln(w, cure)
	return err
}

const (
	// othersFormat tells of boltverify.Report.Others.
	othersFormat = "other records that are damaged, and that a service serves, forgets or makes anew: %d; accountservice " +
		"verify names them\n"
	// startCures is the cure of boltverify.Report.OnlyOlderMeta.
	startCures = "A start writes this page anew, and serves all accounts."
	// curesOfMinor are the cures of all that is Minor.
	curesOfMinor = " It forgets an answer to a request with an Idempotency-Key, and its age, after 24 hours. " +
		"PUT writes an account anew."
)

// maxNamed is how many ids a line names.
const maxNamed = 20

func firstOf(ids []string, all int) string {
	named := ids[:min(len(ids), maxNamed)]
	text := strings.Join(named, ", ")
	if more := all - len(named); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func showJSON(w io.Writer, r boltverify.Report) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

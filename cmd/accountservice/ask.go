package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"text/tabwriter"
	"time"

	"accountservice/internal/checks"
)

// askEach runs each check once, one after the other, and writes a line for each. A warning is a success. Its error is
// an exit without words if one failed.
func askEach(ctx context.Context, w io.Writer, list []checks.Check) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no dependency is declared in checks.dependencies")
		return err
	}
	stdlog.SetOutput(io.Discard) // as serve does
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var failed error
	for _, check := range list {
		took, err := askOnce(ctx, check)
		verdict, words := "ok", ""
		switch warning, is := errors.AsType[checks.Warner](err); {
		case is:
			verdict, words = "warning", warning.Warning()
		case err != nil:
			verdict, words, failed = "failing", err.Error(), &exit{code: exitFailed}
		}
		fmt.Fprintf(table, "%s\t%s\t%d ms\t%s\n", check.Name, verdict, took.Milliseconds(), words)
	}
	return errors.Join(failed, table.Flush())
}

// askOnce is one run within the check's timeout.
func askOnce(ctx context.Context, check checks.Check) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, check.Timeout)
	defer cancel()
	defer check.Close()
	began := time.Now()
	err := check.Run(ctx)
	return time.Since(began), err
}

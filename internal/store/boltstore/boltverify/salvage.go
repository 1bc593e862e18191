package boltverify

import (
	"cmp"
	"context"
	"fmt"

	"accountservice/internal/store"
)

// Salvage calls each with all accounts that can be read of the database file at path, whatever else is damaged, and
// with the id alone and why for an account whose record is damaged. It ends with the error of each, if that gives one.
//
// The accounts come in the order of their ids, and behind them those on lost pages: pages that no page leads to that can
// be read, and that are not free. To know these, the list of free pages must be whole. The report says what could not
// be read. It is Verify's in all else, locks and errors included.
func Salvage(ctx context.Context, path string, each func(acc store.Account, damage error) error) (Report, error) {
	f, err := open(ctx, path)
	if err != nil {
		return newReport(path), fmt.Errorf("bolt salvage %s: %w", path, err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	report, err := examine(ctx, f, func(acc store.Account, damage error) {
		if failed := each(acc, damage); failed != nil {
			cancel(failed)
		}
	})
	if err != nil {
		err = fmt.Errorf("bolt salvage %s: %w", path, err)
	}
	return report, cmp.Or(context.Cause(ctx), err)
}

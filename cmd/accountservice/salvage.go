package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/internal/store/transfer"
)

// salvageTo writes the accounts of a damaged file as lines.
func salvageTo(ctx context.Context, w io.Writer, file string) (boltverify.Report, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	report, err := boltverify.Salvage(ctx, file, func(acc store.Account, damage error) error {
		line, err := transfer.Encode([]store.Account{acc})
		if damage != nil || err != nil { // an id that is no text
			line, err = transfer.EncodeDamaged(acc.ID)
		}
		if err == nil {
			_, err = out.Write(line)
		}
		return err
	})
	return report, cmp.Or(err, out.Flush())
}

// maxShown is how many findings of a salvage are shown.
const maxShown = 50

// unsalvaged writes what of a file could not be read, and returns that as an error.
func unsalvaged(w io.Writer, r boltverify.Report) error {
	fmt.Fprintf(w, "%s is damaged, and accounts may be missing:\n", r.File)
	shown := r.Findings[:min(len(r.Findings), maxShown)]
	for _, f := range shown {
		fmt.Fprintln(w, " ", f)
	}
	if more := len(r.Findings) + r.Omitted - len(shown); more > 0 {
		fmt.Fprintf(w, "  and %d more; accountservice verify names them\n", more)
	}
	if r.Damaged == 0 {
		return errors.New("what is above could not be read")
	}
	return fmt.Errorf("%d accounts have damaged records; lines with \"damaged\" name them", r.Damaged)
}

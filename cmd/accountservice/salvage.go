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
func (e *exporting) salvageTo(ctx context.Context, w io.Writer) (err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	e.report, err = boltverify.Salvage(ctx, e.salvage, func(acc store.Account, damage error) error {
		line, err := transfer.Encode([]store.Account{acc})
		if damage != nil || err != nil { // an id that is no text
			line, err = transfer.EncodeDamaged(acc.ID)
		}
		if err == nil {
			_, err = out.Write(line)
		}
		return err
	})
	return cmp.Or(err, out.Flush())
}

// maxTold is how many findings of a salvage are told.
const maxTold = 50

// unsalvaged says what of a file could not be read.
func (e *exporting) unsalvaged() error {
	r := e.report
	fmt.Fprintf(e.stderr, "%s is damaged, and accounts may be missing:\n", r.File)
	told := r.Findings[:min(len(r.Findings), maxTold)]
	for _, f := range told {
		fmt.Fprintln(e.stderr, " ", f)
	}
	if more := len(r.Findings) + r.Omitted - len(told); more > 0 {
		fmt.Fprintf(e.stderr, "  and %d more; accountservice verify names them\n", more)
	}
	if r.Damaged == 0 {
		return errors.New("what is above could not be read")
	}
	return fmt.Errorf("%d accounts have damaged records; lines with \"damaged\" name them", r.Damaged)
}

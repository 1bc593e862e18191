package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"accountservice/internal/store/boltstore"
)

func newCompactCommand(p program) *cobra.Command {
	var acceptLost bool
	cmd := &cobra.Command{
		Use: "compact FILE", Short: "Make a Bolt database file that no service has open smaller; exit 0, 1, 2 or 4",
		Long: "Replaces a database file by a copy without the pages that are free. The file is verified first and the copy\n" +
			"before it replaces the file, in one step; owner and mode stay. The folder needs room for the copy. All accounts,\n" +
			"ETags, cursors and idempotency keys stay valid. A damaged file is left as it is.\n\n" +
			"Exit codes: 0 done; 1 failed, and the file is as it was if it does not say that the new one is in\n" +
			"its place; 2 usage; 4 told to stop, and the file is as it was.",
		Args: oneArgument("the database file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			limitMemory()
			c, err := boltstore.Compact(cmd.Context(), args[0], acceptLost)
			if c.Kept != "" { // also if replacing it failed, or nobody reads this
				fmt.Fprintf(p.stdout, "the file as it was is kept as %s\n", c.Kept)
			}
			switch {
			case errors.Is(err, boltstore.ErrLocked):
				return fmt.Errorf("%w\nStop the service that has it open first", err)
			case errors.Is(err, boltstore.ErrLostPages):
				return fmt.Errorf("%w\nRestore a backup. Or keep the %d accounts that are not cut off with "+
					"--accept-lost-pages, which keeps this file beside the new one", err, c.Before.Accounts)
			case c.Before.OnlyOlderMeta():
				return fmt.Errorf("%w\n%s", err, startCures)
			case errors.Is(err, boltstore.ErrDamaged):
				return fmt.Errorf("%w\nRestore a backup: accountservice restore", err)
			case err != nil:
				return err
			}
			// it is done, also if nobody reads this
			fmt.Fprintf(p.stdout, "%s: %d bytes before, %d after; %d accounts\n", args[0], c.Before.Size, c.After.Size,
				c.After.Accounts)
			return nil
		},
	}
	cmd.Flags().BoolVar(&acceptLost, "accept-lost-pages", false,
		"accept that accounts that were cut off by damage are not in the copy; the file is kept")
	return cmd
}

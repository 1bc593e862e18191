package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"accountservice/config"
	"accountservice/internal/backup"
	"accountservice/internal/restore"
	"accountservice/internal/store/boltstore"
)

func newRestoreCommand(p program) *cobra.Command {
	var r restoring
	var acknowledge bool
	cmd := &cobra.Command{
		Use: "restore FROM", Short: "Put a backup in place of the Bolt database; exit 0, 1, 2 or 4",
		Long: "Restores FROM to the path of the configuration (store.bolt.path). FROM is a database file, - for standard\n" +
			"input, a folder of backups or s3://BUCKET/PREFIX, of which it takes the newest that is whole, or\n" +
			"s3://BUCKET/PREFIX/NAME for one of them.\n\n" +
			"All of the backup is read and verified first, in the folder of the database. A database that has accounts, is\n" +
			"newer, damaged or in use is replaced only with --force, and is kept beside the new one. At any time the old or\n" +
			"the new database is at the path. Owner and mode stay; a new file has the owner of its folder.\n\n" +
			"Exit codes: 0 restored, or with --dry-run it would be; 1 failed or refused, and nothing is changed if\n" +
			"it does not say that the new file is in its place; 2 configuration or usage; 4 told to stop, and nothing is\n" +
			"changed.",
		Args: func(cmd *cobra.Command, args []string) error {
			if acknowledge {
				return noArguments(cmd, args)
			}
			return oneArgument("what to restore")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, log, err := p.prepared()
			if err == nil && cfg.Store.Driver != "bolt" {
				err = &exit{exitUsage, errors.New("store.driver is not bolt: restore a PostgreSQL database with its own tools")}
			}
			if err != nil {
				return err
			}
			r.program, r.path, r.database = p, cfg.Store.Bolt.Path, boltOptions(cfg.Store.Bolt, log)
			if acknowledge {
				return r.acknowledge()
			}
			candidates, err := r.candidates(cmd.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			return r.run(cmd.Context(), candidates)
		},
	}
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "verify the backup, say what would be replaced, and change nothing")
	cmd.Flags().BoolVar(&r.force, "force", false, "replace a database that has accounts, is newer, damaged or in use")
	cmd.Flags().BoolVar(&acknowledge, "acknowledge", false,
		"instead, end the warning that a start restored the database by itself (store.bolt.create)")
	return cmd
}

type restoring struct {
	program
	path          string // of database
	database      boltstore.Options
	dryRun, force bool
}

// candidates returns what from names, the newest first.
func (r restoring) candidates(ctx context.Context, cfg config.Config, from string) ([]restore.Candidate, error) {
	if from == "-" {
		open := func(ctx context.Context) (io.ReadCloser, error) {
			return stoppable(ctx, func() (*os.File, error) { return os.Stdin, nil }), nil
		}
		return []restore.Candidate{{Name: "standard input", Open: open}}, nil
	}
	to, one := from, backup.Backup{}
	if strings.Contains(from, "://") {
		if b, isOne := backup.ParseName(path.Base(from)); isOne {
			to, one = strings.TrimSuffix(from, "/"+b.Name), b
		}
	} else if info, err := os.Stat(from); err != nil || !info.IsDir() {
		c, err := restore.File(from)
		return []restore.Candidate{c}, err
	}
	target, err := backup.Open(to, s3Of(cfg.Backup.S3))
	if err != nil {
		return nil, &exit{exitUsage, fmt.Errorf("%s %w", from, err)}
	}
	if one.Name != "" {
		return []restore.Candidate{restore.Of(target, one)}, nil
	}
	list, err := restore.At(ctx, target)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s has no file with the name of a backup, such as %s; to restore a file of another name, name the file",
			from, backup.NameOf(time.Unix(0, 0), 1))
	}
	return list, err
}

// run fetches and verifies a candidate, says what it would replace, and does that if it may.
func (r restoring) run(ctx context.Context, candidates []restore.Candidate) error {
	fetched, err := restore.Fetch(ctx, candidates, r.path, restore.Observer{
		Damaged: func(c restore.Candidate, err error) {
			fmt.Fprintf(r.stderr, "%s: %v; the next one is tried\n", c.Name, err)
		},
		Step: func(doing string) {
			if isTerminal(r.stderr) {
				fmt.Fprintln(r.stderr, doing)
			}
		},
	})
	if err != nil {
		return err
	}
	defer fetched.Replacement.Discard()
	there, err := boltstore.Occupy(ctx, r.database)
	if err != nil {
		return err
	}
	defer there.Close()
	r.describe(fetched, there)
	there.Copies = slices.DeleteFunc(there.Copies, func(saved string) bool { return boltstore.IsPart(saved, fetched.Name) })
	if objections := there.Objections(fetched.Database); len(objections) > 0 && !r.force {
		return fmt.Errorf("%s is not replaced:\n  %s\nWith --force it is, and is kept beside the new one", r.path,
			strings.Join(objections, "\n  "))
	}
	if r.dryRun {
		_, err := fmt.Fprintln(r.stdout, "nothing was changed (--dry-run)")
		return err
	}
	return r.put(fetched, there)
}

func (r restoring) describe(f *restore.Fetched, there *boltstore.Occupant) {
	made := "it is not known when it was made"
	switch {
	case !f.Made.IsZero():
		made = "made " + ago(f.Made)
	case !f.Changed.IsZero():
		made += "; the file was last changed " + ago(f.Changed)
	}
	whole := "whole"
	if f.Database.Damaged > 0 {
		whole = "not all whole"
	}
	fmt.Fprintf(r.stdout, "backup:   %s, %s\n          %s: %d accounts, transaction %d, %d bytes\n", f.Name, made, whole,
		f.Database.Accounts, f.Database.Transaction, f.Database.Size)
	if f.Database.Damaged > 0 {
		fmt.Fprintf(r.stdout, "          %d accounts have damaged records, and an older backup may have them whole: %s\n",
			f.Database.Damaged, firstOf(f.Database.DamagedIDs, f.Database.Damaged))
	}
	if n := f.Database.Others(); n > 0 {
		fmt.Fprintf(r.stdout, "          "+othersFormat, n)
	}
	what := fmt.Sprintf("%d accounts, transaction %d, %d bytes", there.Accounts, there.Transaction, there.Size)
	switch {
	case there.Locked:
		what = "in use by a service"
	case errors.Is(there.Damage, boltstore.ErrNoDatabase):
		what = "no database"
	case there.Damage != nil:
		what = "damaged"
	case there.Lost:
		what = "is gone, and its witness is there"
	case !there.Found:
		what = "nothing is there"
	}
	fmt.Fprintf(r.stdout, "replaces: %s, %s\n", r.path, what)
}

func ago(t time.Time) string {
	age := time.Since(t).Round(time.Second)
	if age < 0 {
		return t.Format(time.RFC3339) + " (in the future, so a clock is or was wrong)"
	}
	return fmt.Sprintf("%s (%s ago)", t.Format(time.RFC3339), age)
}

func (r restoring) put(f *restore.Fetched, there *boltstore.Occupant) (err error) {
	kept := ""
	if there.Found {
		kept, err = f.Replacement.Replace(true)
	} else {
		err = f.Replacement.Put()
	}
	if kept != "" { // also if replacing it failed, or nobody reads this
		fmt.Fprintf(r.stdout, "kept:     %s, what was at the path\n", kept)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(r.stdout, "restored %d accounts\n", f.Database.Accounts)
	if err := restore.Acknowledge(r.path); err != nil {
		fmt.Fprintf(r.stderr, "the notice of an earlier restore stays, until accountservice restore --acknowledge: %v\n", err)
	}
	return nil
}

// acknowledge ends the warning of a restore that a start made.
func (r restoring) acknowledge() error {
	n, err := restore.ReadNotice(r.path)
	if err == nil && n == nil {
		_, err := fmt.Fprintln(r.stdout, "there is nothing to acknowledge")
		return err
	}
	if n != nil {
		fmt.Fprintln(r.stdout, n)
	} else {
		fmt.Fprintln(r.stderr, err) // an unreadable notice can be acknowledged too
	}
	if err := restore.Acknowledge(r.path); err != nil {
		return err
	}
	fmt.Fprintln(r.stdout, "acknowledged") // it is, also if nobody reads this
	return nil
}

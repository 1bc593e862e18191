package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"accountservice/config"
	"accountservice/internal/backup"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/tempfile"
)

func newBackupCommand(p program) *cobra.Command {
	var at service
	var to string
	cmd := &cobra.Command{
		Use: "backup", Short: "Write a verified copy of the Bolt database, also of one in use; exit 0, 1, 2 or 4",
		Long: "Writes a compact copy of the database of the configuration, as one transaction left it. If a service has it\n" +
			"open, that makes the copy and goes on serving; it is asked at admin.addr, or at --url. All of the copy is\n" +
			"verified before it gets its name, and it appears whole or not at all.\n\n" +
			"--to is a file, which is replaced; a folder or s3://BUCKET/PREFIX, in which it is named by its time and\n" +
			"transaction, as accounts-20261129T040500Z-42.db; or - for standard output, which must not be a terminal. Older\n" +
			"backups are not removed: backup.to, backup.schedule and backup.keep have the service do both by itself.\n\n" +
			"Exit codes: 0 written; 1 failed, and no file was replaced unless the message says that the new one is in its\n" +
			"place; 2 configuration or usage; 4 told to stop.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.backup(cmd.Context(), at, to) },
	}
	at.addFlags(cmd)
	cmd.Flags().Lookup("url").Usage = "of the operators' listener of a running service; default: the database of the " +
		"configuration, or admin.addr if a service has it open"
	cmd.Flags().StringVar(&to, "to", "", "file, folder, s3://BUCKET/PREFIX, or - for standard output; default: backup.to")
	return cmd
}

func (p program) backup(ctx context.Context, at service, to string) error {
	cfg, log, err := p.prepared()
	if err != nil {
		return err
	}
	if cfg.Store.Driver == "postgres" {
		return &exit{exitUsage, errors.New("store.driver is postgres, whose backups are PostgreSQL's own: pg_dump, or archived " +
			"WAL for any point in time (docs/postgres.md); accountservice export writes all accounts as lines of JSON")}
	}
	named, open := "--to "+to, p.openDestination
	if to == "" {
		to, named, open = cfg.Backup.To, "backup.to "+cfg.Backup.To, targetOf
	}
	if to == "" {
		return &exit{exitUsage, errors.New("say where: --to FILE, a folder, s3://BUCKET/PREFIX or -, or set backup.to")}
	}
	dest, err := open(ctx, to, cfg)
	if err != nil {
		return &exit{exitUsage, fmt.Errorf("%s: %w", named, err)}
	}
	f, err := backup.Stage(ctx, dest.staging)
	if err != nil {
		return fmt.Errorf("%s: %w", named, err)
	}
	defer backup.Discard(f)
	begun := time.Now()
	v, err := p.copyDatabase(ctx, cfg, at, f, log)
	if err != nil {
		return err
	}
	name, err := dest.put(ctx, backup.NameOf(begun, v.Transaction), f)
	if errors.Is(err, backup.ErrNotListed) {
		fmt.Fprintf(p.stderr, "%v\nWithout the right to list, restore needs the name of a backup, and a start restores none\n",
			err)
	} else if err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "backed up %d accounts, %d bytes, transaction %d, to %s in %s\n", v.Accounts, v.Size, v.Transaction,
		name, time.Since(begun).Round(time.Millisecond))
	if v.Damaged > 0 {
		fmt.Fprintf(p.stderr, "%d of them have damaged records: %s\n", v.Damaged, firstOf(v.DamagedIDs, v.Damaged))
	}
	if v.Others() > 0 {
		fmt.Fprintf(p.stderr, othersFormat, v.Others())
	}
	return nil
}

// copyDatabase fills f with a verified copy: of the service at, of the file, or of the service that has the file open.
func (p program) copyDatabase(ctx context.Context, cfg config.Config, at service, f *os.File,
	log *slog.Logger) (boltstore.Verified, error) {
	expected := ""
	if at.url == "" {
		opts := boltOptions(cfg.Store.Bolt, log)
		opts.OpenTimeout = time.Second
		v, err := boltstore.BackupFile(ctx, opts, f)
		if !errors.Is(err, boltstore.ErrLocked) {
			return v, inUse(err)
		}
		if cfg.Admin.Off() {
			return v, fmt.Errorf("%w; the service that has it open is to be asked, and admin.addr is off: set that", err)
		}
		if at.url, err = adminURL(cfg.Admin); err != nil {
			return v, &exit{exitUsage, err}
		}
		expected = boltstore.IdentityAt(cfg.Store.Bolt.Path)
	}
	remote, err := p.newClient(at, "--url")
	if err != nil {
		return boltstore.Verified{}, err
	}
	if err := remote.Backup(ctx, f); err != nil {
		return boltstore.Verified{}, fmt.Errorf("asking the service that has the database open: %w", err)
	}
	v, err := boltstore.VerifyWhole(ctx, f)
	if err != nil {
		return v, fmt.Errorf("what the service sent: %w", err)
	}
	if expected != "" && v.Identity != expected {
		return v, fmt.Errorf("the service at %s (admin.addr) has another database open than %s: give --url, or the "+
			"admin.addr of the one that has this open", at.url, cfg.Store.Bolt.Path)
	}
	return v, nil
}

// destination is where a backup goes.
type destination struct {
	staging string // the folder for the file until it is complete
	// put stores f there, as name if there can be several, and returns what it is called.
	put func(ctx context.Context, name string, f *os.File) (string, error)
}

// openDestination returns what --to names. It refuses what would be lost by it.
func (p program) openDestination(ctx context.Context, to string, cfg config.Config) (destination, error) {
	if to == "-" {
		if isTerminal(p.stdout) {
			return destination{}, errors.New("standard output is a terminal, and a backup is no text: redirect it to a file or " +
				"a pipe")
		}
		return destination{scratch(cfg), func(_ context.Context, _ string, f *os.File) (string, error) {
			_, err := io.Copy(p.stdout, io.NewSectionReader(f, 0, 1<<62))
			return "standard output", err
		}}, nil
	}
	target, err := targetOf(ctx, to, cfg)
	if there, noFile := os.Stat(to); err != nil || strings.Contains(to, "://") || noFile == nil && there.IsDir() {
		return target, err
	}
	if info, err := os.Lstat(to); err == nil && !info.Mode().IsRegular() {
		return destination{}, fmt.Errorf("is no regular file (%s): name another, or - for standard output", info.Mode())
	}
	if err := spares(to, cfg.Store.Bolt.Path); err != nil {
		return destination{}, err
	}
	if f, err := boltstore.OpenUnused(ctx, to); err == nil {
		f.Close()
	} else if errors.Is(err, boltstore.ErrLocked) {
		return destination{}, errors.New("a process has this file open: name another")
	}
	return destination{filepath.Dir(to), func(_ context.Context, _ string, f *os.File) (string, error) {
		return to, tempfile.Rename(f, to)
	}}, nil
}

// targetOf returns what backup.to names: a folder or a bucket, never a file, which could be in a container
// whose mount is missing.
func targetOf(_ context.Context, to string, cfg config.Config) (destination, error) {
	target, err := backup.Open(to, s3Of(cfg.Backup.S3))
	if err != nil {
		return destination{}, err
	}
	return destination{cmp.Or(target.Staging(), scratch(cfg)), func(ctx context.Context, name string, f *os.File) (string, error) {
		return name + " in " + target.String(), target.Put(ctx, name, f)
	}}, nil
}

// spares refuses to replace the file at path if it is one of these databases or its witness, which a link or another
// name may hide.
func spares(path string, databases ...string) error {
	for _, database := range databases {
		if boltstore.IsPart(database, path) {
			return fmt.Errorf("is the database %s or its witness, which would be lost: name another", database)
		}
	}
	return nil
}

// scratch is a folder for files of a while: that of the system, or that of the database where there is none, as in the
// image.
func scratch(cfg config.Config) string {
	if info, err := os.Stat(os.TempDir()); err == nil && info.IsDir() {
		return os.TempDir()
	}
	return filepath.Dir(cfg.Store.Bolt.Path)
}

// backupFault is a config.Rule: it reports a target or a server that can't be. The server is refused without a target too:
// what it must not hold may be a secret, and config print would show it.
func backupFault(cfg config.Config) map[string]error {
	faults, s3 := make(map[string]error), s3Of(cfg.Backup.S3)
	if _, err := s3.Server(); err != nil && s3.Endpoint != "" {
		faults["backup.s3.endpoint"] = err
		s3.Endpoint = "https://localhost" // any valid one, so that Open reports only other faults
	}
	if cfg.Backup.To != "" {
		if _, err := backup.Open(cfg.Backup.To, s3); err != nil {
			faults["backup.to"] = err
		}
	}
	return faults
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"accountservice/config"
	"accountservice/internal/backup"
	"accountservice/internal/restore"
	"accountservice/internal/store/boltstore"
)

// restoreMissing puts the newest whole backup at the path of a database that is not there, if store.bolt.create says so
// and nothing says that one was there. A target that cannot be asked is an error: the orchestrator tries again. opts let
// Open make a new database only if there is no backup and restore-or-new allows it.
func restoreMissing(ctx context.Context, cfg config.Config, opts *boltstore.Options, show func(doing string),
	log *slog.Logger) error {
	bolt, target := cfg.Store.Bolt, cfg.Backup.To
	isNew, err := boltstore.IsNew(*opts)
	if err != nil || !isNew || !bolt.Restores() {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, bolt.RestoreTimeout,
		fmt.Errorf("store.bolt.restore_timeout (%s) has passed", bolt.RestoreTimeout))
	defer cancel()
	show("restoring the database: asking " + target)
	fetched, err := fetchNewest(ctx, cfg, show, log)
	switch {
	case errors.Is(err, errNoBackup) && bolt.Create == "restore-or-new":
		log.Warn("there is no database and no backup: a new database is made", "path", bolt.Path, "backups", target)
		opts.MustExist = false
		return nil
	case errors.Is(err, errNoBackup):
		return fmt.Errorf("there is no database at %s, and no backup in %s; for a first deployment set store.bolt.create to "+
			"auto or restore-or-new", bolt.Path, target)
	case err != nil:
		return fmt.Errorf("restoring the database %s from %s (store.bolt.create): %w", bolt.Path, target, err)
	}
	defer fetched.Replacement.Discard()
	notice := restore.Notice{Backup: fetched.Name, Made: fetched.Made, Restored: time.Now().UTC().Truncate(time.Second)}
	if err := notice.Leave(bolt.Path); err != nil { // before the database: a kill must not come between
		return fmt.Errorf("leaving a notice of the restore beside %s: %w", bolt.Path, err)
	}
	err = fetched.Replacement.Put()
	if errors.Is(err, fs.ErrExist) { // another process restored it meanwhile
		return nil
	}
	if err != nil {
		return fmt.Errorf("putting the backup %s at %s: %w", fetched.Name, bolt.Path, err)
	}
	log.Warn("there was no database: the newest backup was restored, and later changes can be missing", "path", bolt.Path,
		"backup", fetched.Name, "made", fetched.Made, "age", notice.Restored.Sub(fetched.Made).String(),
		"accounts", fetched.Database.Accounts)
	return nil
}

var errNoBackup = errors.New("there is no backup")

// fetchNewest brings the newest whole backup of backup.to beside the path, or returns errNoBackup.
func fetchNewest(ctx context.Context, cfg config.Config, show func(doing string),
	log *slog.Logger) (*restore.Fetched, error) {
	target, err := backup.Open(cfg.Backup.To, s3Of(cfg.Backup.S3))
	if err != nil {
		return nil, err
	}
	candidates, err := restore.At(ctx, target)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	if len(candidates) == 0 {
		return nil, errNoBackup
	}
	return restore.Fetch(ctx, candidates, cfg.Store.Bolt.Path, restore.Observer{
		Damaged: func(c restore.Candidate, err error) {
			log.Warn("a backup is damaged: the next one is tried", "backup", c.Name, "err", err)
		},
		Step: func(doing string) { show("restoring the database: " + doing) },
	})
}

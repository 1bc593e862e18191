package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"accountservice/config"
	"accountservice/internal/backup"
	"accountservice/internal/checks"
	"accountservice/internal/handlers"
	"accountservice/internal/store/boltstore"
)

func (i instance) copyOf(ctx context.Context, accounts backend) (*handlers.Copy, error) {
	f, err := backup.Stage(ctx, filepath.Dir(i.cfg.Store.Bolt.Path))
	if err != nil {
		return nil, handlers.NoBackup(err)
	}
	begun := time.Now()
	v, err := accounts.Copy(ctx, f)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		backup.Discard(f)
		if errors.Is(err, boltstore.ErrBackupRuns) {
			return nil, handlers.ErrBackupRuns
		}
		return nil, handlers.NoBackup(err)
	}
	os.Remove(f.Name()) // it ends with its descriptor, whatever happens
	return &handlers.Copy{ReadCloser: f, Name: backup.NameOf(begun, v.Transaction), Size: v.Size}, nil
}

// scheduled returns a function that makes backups until its context ends, and the check of the backups, if backup.to is
// set. accounts.Size then names the newest one too.
func (i instance) scheduled(accounts *backend) (run func(context.Context), list []checks.Check, err error) {
	to := i.cfg.Backup
	if to.To == "" || accounts.Copy == nil {
		return func(context.Context) {}, nil, nil
	}
	target, err := backup.Open(to.To, s3Of(to.S3))
	if err != nil {
		return nil, nil, err // none when the configuration was loaded
	}
	content := func(v boltstore.Verified, err error) (backup.Content, error) {
		warnOfDamage(i.log, v)
		return backup.Content{Identity: v.Identity, Transaction: v.Transaction, Size: v.Size, Damaged: v.Damaged}, err
	}
	s := backup.NewScheduler(backup.Options{
		Target: target, Staging: filepath.Dir(i.cfg.Store.Bolt.Path),
		Every: to.Schedule, MaxAge: to.MaxAge, Keep: to.Keep, Log: i.log,
		State: accounts.State,
		Make:  func(ctx context.Context, to *os.File) (backup.Content, error) { return content(accounts.Copy(ctx, to)) },
		Verify: func(ctx context.Context, f *os.File) (backup.Content, error) {
			return content(boltstore.VerifyWhole(ctx, f))
		},
	})
	s.Register(i.metrics)
	if size := accounts.Size; size != nil {
		accounts.Size = func() string { return size() + " " + s.Line() }
	}
	return s.Run, []checks.Check{ownCheck("backup", i.cfg.Checks, s.Check)}, nil
}

// warnOfDamage logs that a backup has damaged records, of which all others can be restored, or what loses nothing.
func warnOfDamage(log *slog.Logger, v boltstore.Verified) {
	switch {
	case v.OnlyRecords():
		log.Warn("a backup has damaged records", "accounts", v.Damaged, "others", v.Others(), "first", v.Findings[0].String())
	case v.OnlyOlderMeta():
		log.Warn("a backup has a damaged meta page, and can be restored", "first", v.Findings[0].String())
	}
}

func s3Of(cfg config.S3) backup.S3 {
	return backup.S3{Endpoint: cfg.Endpoint, Region: cfg.Region, PathStyle: cfg.PathStyle,
		AccessKey: cfg.AccessKey.Reveal(), SecretKey: cfg.SecretKey.Reveal()}
}

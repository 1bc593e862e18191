package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/restore"
	"accountservice/internal/store/boltstore"
)

// openBolt opens the embedded store. show, if not nil, is told what takes its time. Then a missing database is restored
// if store.bolt.create says so.
func openBolt(ctx context.Context, cfg config.Config, show func(doing string), log *slog.Logger) (backend, error) {
	bolt := cfg.Store.Bolt
	folder, err := filepath.Abs(filepath.Dir(bolt.Path)) // checks name it
	if err != nil {
		return backend{}, err
	}
	if bolt.Volume == "require" {
		if err := checks.Volume(folder)(ctx); err != nil {
			return backend{}, fmt.Errorf("store.bolt.volume is require: %w", err)
		}
	}
	opts := boltOptions(bolt, log)
	if show != nil {
		opts.Waiting = func(reason string) {
			log.Warn("waiting for the database", "reason", reason)
			show("opening the database: " + reason)
		}
		if err := restoreMissing(ctx, cfg, &opts, show, log); err != nil {
			return backend{}, err
		}
	}
	if isNew, err := boltstore.IsNew(opts); err == nil && isNew && !opts.MustExist {
		if err := restore.Acknowledge(bolt.Path); err != nil { // of a restore that was killed before the database was there
			return backend{}, err
		}
	}
	opts.SlowAfter, opts.HungAfter = cfg.Checks.Bolt.SlowAfter, cfg.Checks.Bolt.HungAfter
	opts.CheckTimeout = min(cfg.Checks.Bolt.Timeout, cfg.Checks.Records.Timeout)
	opts.WriteCanary = cfg.Checks.Bolt.WriteCanary
	accounts, err := boltstore.Open(ctx, opts)
	if err != nil {
		return backend{}, err
	}
	return backend{Store: accounts, Checks: boltChecks(accounts, folder, cfg), Failure: accounts.Failure,
		Copy: accounts.Backup, State: accounts.State, Register: accounts.Register,
		Size: func() string { return sizeOf(accounts.Size()) }}, nil
}

// sizeOf tells people how large a database is.
func sizeOf(size boltstore.Size) string {
	const mib = 1 << 20
	text := fmt.Sprintf("The database file has %.1f MiB, of which %.1f are not in use.", float64(size.Bytes)/mib,
		float64(size.Free)/mib)
	if size.Accounts < 0 {
		return "Not all accounts have been read since the start. " + text
	}
	return fmt.Sprintf("%d accounts when all were read the last time. ", size.Accounts) + text
}

func boltOptions(bolt config.Bolt, log *slog.Logger) boltstore.Options {
	return boltstore.Options{
		Path:            bolt.Path,
		OpenTimeout:     bolt.OpenTimeout,
		MustExist:       bolt.Create != "auto",
		RescueDir:       bolt.RescueDir,
		AcceptOlderMeta: bolt.AcceptOlderMeta,
		Log:             log,
	}
}

// inUse adds the cure to the error of a command whose database a service has open, or may have open although the file
// was deleted.
func inUse(err error) error {
	switch {
	case errors.Is(err, boltstore.ErrLocked):
		return fmt.Errorf("%w\nIf a service serves this database, give its address with --url", err)
	case errors.Is(err, boltstore.ErrGone):
		return fmt.Errorf("%w\nIf a service still runs that had it open, do not stop it: its process has the accounts; "+
			"accountservice export --url reads them", err)
	}
	return err
}

// boltChecks are the checks of the open file and of the folder that it is in.
func boltChecks(accounts *boltstore.Store, folder string, cfg config.Config) []checks.Check {
	all := cfg.Checks
	free := checks.Disk(folder, int64(all.Disk.MinFree))
	list := []checks.Check{
		newCheck("bolt", all.Bolt.Check, accounts.Check),
		newCheck("records", all.Records, accounts.CheckRecords),
		newCheck("disk", all.Disk.Check, func(ctx context.Context) error {
			if err := errors.Join(accounts.CheckWritable(ctx), free(ctx)); err != nil {
				return err
			}
			return accounts.CheckFolder()
		}),
		ownCheck("latency", all, accounts.CheckLatency),
	}
	if cfg.Store.Bolt.Volume != "ignore" {
		list = append(list, ownCheck("volume", all, checks.Volume(folder)))
	}
	if n, err := restore.ReadNotice(cfg.Store.Bolt.Path); n != nil || err != nil {
		list = append(list, ownCheck("restored", all, restore.Check(cfg.Store.Bolt.Path)))
	}
	return list
}

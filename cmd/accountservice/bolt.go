package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/store/boltstore"
)

// openBolt opens the embedded store.
func openBolt(ctx context.Context, cfg config.Config, how opening) (backend, error) {
	bolt := cfg.Store.Bolt
	_, err := os.Stat(bolt.Path)
	if errors.Is(err, fs.ErrNotExist) && !how.create && bolt.Create != "never" {
		return backend{}, fmt.Errorf("store.bolt.path: %w; there is %w", err, errNoDatabase)
	}
	if bolt.Volume == "require" && how.create {
		if err := checks.Volume(filepath.Dir(bolt.Path))(ctx); err != nil {
			return backend{}, fmt.Errorf("store.bolt.volume is require: %w", err)
		}
	}
	accounts, err := boltstore.Open(ctx, boltstore.Options{
		Path:            bolt.Path,
		OpenTimeout:     bolt.OpenTimeout,
		Waiting:         how.waiting,
		MustExist:       bolt.Create == "never" || !how.create,
		RescueDir:       bolt.RescueDir,
		AcceptOlderMeta: bolt.AcceptOlderMeta,
		Log:             how.log,
	})
	if err != nil {
		return backend{}, err
	}
	return backend{Store: accounts, Checks: boltChecks(accounts, cfg), Failure: accounts.Failure}, nil
}

// boltChecks are the checks of the open file and of the folder that it is in.
func boltChecks(accounts *boltstore.Store, cfg config.Config) []checks.Check {
	all, folder := cfg.Checks, filepath.Dir(cfg.Store.Bolt.Path)
	ask := accounts.Check
	if all.Bolt.WriteCanary {
		ask = func(ctx context.Context) error {
			if err := accounts.Check(ctx); err != nil {
				return err
			}
			return accounts.CheckWrite(ctx)
		}
	}
	free := checks.Disk(folder, int64(all.Disk.MinFree))
	list := []checks.Check{
		newCheck("bolt", all.Bolt.Check, ask),
		newCheck("records", all.Records, accounts.CheckRecords),
		newCheck("disk", all.Disk.Check, func(ctx context.Context) error {
			return errors.Join(accounts.CheckWritable(ctx), free(ctx))
		}),
	}
	if cfg.Store.Bolt.Volume != "ignore" {
		list = append(list, ownCheck("volume", all, checks.Volume(folder)))
	}
	return list
}

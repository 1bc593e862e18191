package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/store/boltstore"
)

// openBolt opens the embedded store. waiting, if not nil, is called once if another process holds the database.
func openBolt(ctx context.Context, cfg config.Config, waiting func(reason string), log *slog.Logger) (backend, error) {
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
	opts.Waiting = waiting
	opts.SlowAfter, opts.HungAfter = cfg.Checks.Bolt.SlowAfter, cfg.Checks.Bolt.HungAfter
	opts.CheckTimeout = min(cfg.Checks.Bolt.Timeout, cfg.Checks.Records.Timeout)
	opts.WriteCanary = cfg.Checks.Bolt.WriteCanary
	accounts, err := boltstore.Open(ctx, opts)
	if err != nil {
		return backend{}, err
	}
	return backend{Store: accounts, Checks: boltChecks(accounts, folder, cfg), Failure: accounts.Failure}, nil
}

func boltOptions(bolt config.Bolt, log *slog.Logger) boltstore.Options {
	return boltstore.Options{
		Path:            bolt.Path,
		OpenTimeout:     bolt.OpenTimeout,
		MustExist:       bolt.Create == "never",
		RescueDir:       bolt.RescueDir,
		AcceptOlderMeta: bolt.AcceptOlderMeta,
		Log:             log,
	}
}

// openStore opens the database for a command that writes it instead of a service. It seeds nothing.
func (p program) openStore(ctx context.Context) (b backend, done func() error, err error) {
	cfg, log, err := p.prepared()
	if err != nil {
		return backend{}, nil, err
	}
	b, err = openBolt(ctx, cfg, nil, log)
	return b, func() error { return b.close(log) }, inUse(err)
}

// openReader opens the database for a command that changes nothing.
func (p program) openReader(ctx context.Context) (*boltstore.Reader, error) {
	cfg, log, err := p.prepared()
	if err != nil {
		return nil, err
	}
	r, err := boltstore.OpenReader(ctx, boltOptions(cfg.Store.Bolt, log))
	return r, inUse(err)
}

// inUse adds the cure to the error of a command whose database a service has open.
func inUse(err error) error {
	if errors.Is(err, boltstore.ErrLocked) {
		return fmt.Errorf("%w\nIf a service serves this database, give its address with --url", err)
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
			return errors.Join(accounts.CheckWritable(ctx), free(ctx))
		}),
		ownCheck("latency", all, accounts.CheckLatency),
	}
	if cfg.Store.Bolt.Volume != "ignore" {
		list = append(list, ownCheck("volume", all, checks.Volume(folder)))
	}
	return list
}

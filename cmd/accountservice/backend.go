package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/pgstore"
)

// closeTimeout bounds the closing of the store, after all requests have ended.
const closeTimeout = 2 * time.Second

// backend is an open store with its checks.
type backend struct {
	store.Store
	Checks  []checks.Check
	Failure func() error // why the store has failed for good, or nil
	// Copy writes a verified copy of the open database into an empty file; nil if there is no such copy.
	Copy  func(ctx context.Context, to *os.File) (boltstore.Verified, error)
	State func() (identity string, transaction uint64) // of the database that Copy copies

	Register func(prometheus.Registerer) // shows the store's own metrics; may be nil
	Size     func() string               // how large the database is, for people; may be nil
}

// database names the database of a store, without a secret.
func database(cfg config.Store) string {
	if cfg.Driver == "bolt" {
		return cfg.Bolt.Path
	}
	server, err := pgstore.ParseServer(cfg.Postgres.URL.Reveal())
	if err != nil { // openPostgres says why
		return cfg.Driver
	}
	return server.String()
}

// close closes the store within closeTimeout and logs an error of it.
func (b backend) close(log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := b.Close(ctx)
	if err != nil {
		log.Error("closing the database", "err", err)
	}
	return err
}

// ownCheck is a check without settings of its own. Its failure degrades: a new container would find the same.
func ownCheck(name string, all config.Checks, run func(context.Context) error) checks.Check {
	return newCheck(name, config.Check{Schedule: all.Schedule, OnFailure: string(checks.Degrade)}, run)
}

func newCheck(name string, cfg config.Check, run func(context.Context) error) checks.Check {
	return checks.Check{
		Name:       name,
		Cure:       cmp.Or(cures[name], cureOfDependency),
		OnFailure:  checks.Consequence(cfg.OnFailure),
		Run:        run,
		Interval:   cfg.Interval,
		Timeout:    cfg.Timeout,
		FailAfter:  cfg.FailAfter,
		PassAfter:  cfg.PassAfter,
		StaleAfter: cfg.StaleAfter,
	}
}

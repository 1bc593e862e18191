package main

import (
	"context"
	"fmt"
	"log/slog"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/store/pgstore"
)

// openPostgres opens the store that replicas share. The server need not be reachable yet.
func openPostgres(ctx context.Context, cfg config.Config, onlyRead bool, log *slog.Logger) (backend, error) {
	pg := cfg.Store.Postgres
	server, err := pgstore.ParseServer(pg.URL.Reveal())
	if err != nil {
		return backend{}, fmt.Errorf("store.postgres.url %w", err)
	}
	accounts, err := pgstore.Open(ctx, pgstore.Options{
		Server: server, MaxConns: pg.MaxConns, AcquireTimeout: pg.AcquireTimeout, StatementTimeout: pg.StatementTimeout,
		RequireSync: pg.RequireSync, OnlyRead: onlyRead, Log: log,
	})
	if err != nil {
		return backend{}, fmt.Errorf("database %s: %w", server, err)
	}
	list := []checks.Check{
		newCheck("postgres", cfg.Checks.Postgres.Check, accounts.Check),
		newCheck("disk", cfg.Checks.Disk.Check, accounts.CheckSpace),
	}
	// never: a restart of this replica would not mend a database that all replicas share
	return backend{Store: accounts, Checks: list, Failure: func() error { return nil }}, nil
}

// postgresFault is a config.Rule: it reports a fault in the URL of the database.
func postgresFault(cfg config.Config) map[string]error {
	if url := cfg.Store.Postgres.URL; url != (config.URL{}) {
		if _, err := pgstore.ParseServer(url.Reveal()); err != nil {
			return map[string]error{"store.postgres.url": err}
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"accountservice/config"
	"accountservice/internal/store"
	"accountservice/internal/store/pgstore"
)

func newMigrateCommand(p program) *cobra.Command {
	up := &cobra.Command{
		Use: "up", Short: "Bring the schema to that of this version and fill a new database; exit 0, 1 or 2",
		Long: "Takes the steps that the schema of store.postgres.url lacks, and puts store.seed accounts into a new\n" +
			"database. Calls at once wait for each other; one that was cut off is finished by the next. Services of the\n" +
			"version before go on working. The user needs the right to create tables.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.migrateUp(cmd.Context()) },
	}
	status := &cobra.Command{
		Use: "status", Short: "Show the steps of the schema and which were taken; exit 0, or 1 if one is missing",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.migrateStatus(cmd.Context()) },
	}
	return newGroup("migrate", "Make or show the schema in PostgreSQL", up, status)
}

// preparedServer is prepared, and the server, for a command that needs PostgreSQL.
func (p program) preparedServer() (cfg config.Config, server pgstore.Server, log *slog.Logger, err error) {
	if cfg, log, err = p.prepared(); err != nil {
		return cfg, server, log, err
	}
	if cfg.Store.Driver != "postgres" {
		err = errors.New("store.driver is " + cfg.Store.Driver + ": a schema is only in PostgreSQL")
		return cfg, server, log, &exit{exitUsage, err}
	}
	server, err = pgstore.ParseServer(cfg.Store.Postgres.URL.Reveal())
	return cfg, server, log, err
}

func (p program) migrateUp(ctx context.Context) (err error) {
	cfg, server, log, err := p.preparedServer()
	if err != nil {
		return err
	}
	done, err := pgstore.Migrate(ctx, server, log)
	for _, m := range done {
		fmt.Fprintf(p.stdout, "%d %s: done\n", m.Version, m.Name)
	}
	if err != nil {
		return err
	}
	if len(done) == 0 {
		fmt.Fprintln(p.stdout, "no step is missing")
	}
	accounts, err := openPostgres(ctx, cfg, false, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, accounts.close(log)) }()
	n, err := accounts.Seed(ctx, store.Fakes(cfg.Store.Seed))
	if n > 0 {
		fmt.Fprintf(p.stdout, "seeded %d accounts\n", n)
	}
	return err
}

func (p program) migrateStatus(ctx context.Context) error {
	_, server, log, err := p.preparedServer()
	if err != nil {
		return err
	}
	all, err := pgstore.Migrations(ctx, server, log)
	if err != nil {
		return err
	}
	missing := false
	for _, m := range all {
		state := "missing"
		if !m.Applied.IsZero() {
			state = "since " + m.Applied.UTC().Format(time.RFC3339)
		}
		missing = missing || m.Applied.IsZero()
		fmt.Fprintf(p.stdout, "%d %s: %s\n", m.Version, m.Name, state)
	}
	if missing {
		return &exit{exitFailed, errors.New("the schema is not that of this version: run accountservice migrate up")}
	}
	return nil
}

package pgstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schemaVersion is that of the last migration: what this binary was made for.
var schemaVersion = func() int64 {
	files, _ := migrations.ReadDir("migrations") // numbered from 1
	return int64(len(files))
}()

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string
	Applied time.Time // zero if it is not
}

// Migrate brings the schema to that of this binary and returns the steps that it took. Calls at once wait for each
// other. It needs the right to create tables.
func Migrate(ctx context.Context, server Server, log *slog.Logger) (done []Migration, err error) {
	// a table, because CockroachDB has no advisory locks and a pooler loses them
	locker, err := lock.NewPostgresTableLocker(lock.WithTableLockTimeout(time.Second, 60), lock.WithTableLogger(log))
	if err != nil {
		return nil, err
	}
	err = withProvider(ctx, server, log, func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		if failed, is := errors.AsType[*goose.PartialError](err); is {
			results = failed.Applied
			err = fmt.Errorf("%w; accountservice migrate status says whether this step was taken, and migrate up goes on", err)
		}
		for _, r := range results {
			if r.Error == nil {
				done = append(done, Migration{r.Source.Version, r.Source.Path, time.Now()})
			}
		}
		return err
	}, goose.WithLocker(locker))
	return done, err
}

// Migrations returns all steps and whether they were taken. It waits for no Migrate, and where there is a schema it
// needs no more rights than the service.
func Migrations(ctx context.Context, server Server, log *slog.Logger) (all []Migration, err error) {
	err = withProvider(ctx, server, log, func(p *goose.Provider) error {
		list, err := p.Status(ctx)
		for _, m := range list {
			all = append(all, Migration{m.Source.Version, m.Source.Path, m.AppliedAt})
		}
		return err
	})
	return all, err
}

// withProvider lets f work with a connection of its own to the primary.
func withProvider(
	ctx context.Context, server Server, log *slog.Logger, f func(*goose.Provider) error, options ...goose.ProviderOption,
) error {
	config, err := server.config(10 * time.Second)
	if err != nil {
		return err
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // poolers, and tables that change
	config.ConnConfig.ValidateConnect = writable
	config.ConnConfig.RuntimeParams["timezone"] = "UTC" // goose keeps times without their zone
	db := stdlib.OpenDB(*config.ConnConfig)
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("%s: %s", server, words(err))
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		append(options, goose.WithDisableGlobalRegistry(true), goose.WithSlog(log))...)
	if err != nil {
		return err
	}
	return f(p)
}

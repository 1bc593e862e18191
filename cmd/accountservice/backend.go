package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/store"
)

// closeTimeout bounds the closing of the store, after all requests have ended.
const closeTimeout = 2 * time.Second

// backend is an open store with the checks of it. Only the file that opens a
// kind of store knows more of it.
type backend struct {
	store.Store
	Checks  []checks.Check
	Failure func() error // why the store has failed for good, or nil
}

// opening says how to open a store.
type opening struct {
	create  bool                // a new database, if there is none and the configuration allows it
	waiting func(reason string) // called once if another process holds the database; may be nil
	log     *slog.Logger
}

// errNoDatabase: there is no database, and opening.create is false.
var errNoDatabase = errors.New("no database")

// openBackend opens the store of the configuration.
func openBackend(ctx context.Context, cfg config.Config, how opening) (backend, error) {
	return openBolt(ctx, cfg, how)
}

// openDatabase opens the store for a command that works on it instead of a
// service. It seeds nothing. done closes it.
func (p program) openDatabase(ctx context.Context, create bool) (b backend, done func(), err error) {
	cfg, err := p.load()
	if err != nil {
		return backend{}, nil, err
	}
	limitMemory()
	log := newLogger(cfg.Log, p.stderr, isTerminal(p.stderr))
	b, err = openBackend(ctx, cfg.Config, opening{create: create, log: log})
	if err != nil {
		return backend{}, nil, fmt.Errorf("%w\nIf a service serves this database, give its address with --url", err)
	}
	return b, func() { b.close(log) }, nil
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

// ownCheck is a check without settings of its own. Its failure degrades: a new
// container would find the same.
func ownCheck(name string, all config.Checks, run func(context.Context) error) checks.Check {
	return newCheck(name, config.Check{
		Interval: all.Interval, Timeout: all.Timeout, StaleAfter: all.StaleAfter,
		FailAfter: all.FailAfter, PassAfter: all.PassAfter, OnFailure: string(checks.Degrade),
	}, run)
}

func newCheck(name string, cfg config.Check, run func(context.Context) error) checks.Check {
	return checks.Check{
		Name:       name,
		OnFailure:  checks.Consequence(cfg.OnFailure),
		Run:        run,
		Interval:   cfg.Interval,
		Timeout:    cfg.Timeout,
		FailAfter:  cfg.FailAfter,
		PassAfter:  cfg.PassAfter,
		StaleAfter: cfg.StaleAfter,
	}
}

package main

import (
	"context"
	"log/slog"
	"time"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/store"
)

// closeTimeout bounds the closing of the store, after all requests have ended.
const closeTimeout = 2 * time.Second

// backend is an open store with the checks of it. Only the file that opens a kind of store knows more of it.
type backend struct {
	store.Store
	Checks  []checks.Check
	Failure func() error // why the store has failed for good, or nil
}

// prepared is the configuration and the log of a command that works on the database instead of a service.
func (p program) prepared() (config.Config, *slog.Logger, error) {
	cfg, err := p.load()
	if err != nil {
		return config.Config{}, nil, err
	}
	limitMemory()
	return cfg.Config, newLogger(cfg.Log, p.stderr, isTerminal(p.stderr)), nil
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
		OnFailure:  checks.Consequence(cfg.OnFailure),
		Run:        run,
		Interval:   cfg.Interval,
		Timeout:    cfg.Timeout,
		FailAfter:  cfg.FailAfter,
		PassAfter:  cfg.PassAfter,
		StaleAfter: cfg.StaleAfter,
	}
}

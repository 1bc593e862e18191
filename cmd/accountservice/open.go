package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"accountservice/config"
	"accountservice/internal/bounded"
	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
)

// openBackend opens the store of store.driver. show, if not nil, is told what takes its time.
func openBackend(
	ctx context.Context, cfg config.Config, show func(doing string), log *slog.Logger,
) (backend, error) {
	if cfg.Store.Driver == "postgres" {
		return openPostgres(ctx, cfg, false, log)
	}
	return openBolt(ctx, cfg, show, log)
}

// openUntilStopped is openBackend, but when ctx has ended it waits no longer than closeTimeout: a disk may never answer.
func openUntilStopped(
	ctx context.Context, cfg config.Config, show func(doing string), log *slog.Logger,
) (backend, error) {
	longer, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(closeTimeout, giveUp) })()
	b, err := bounded.Call(longer, func() (backend, error) { return openBackend(ctx, cfg, show, log) })
	if longer.Err() != nil {
		err = fmt.Errorf("opening the database does not end within %s: its disk is slow, or does not answer: %w",
			closeTimeout, longer.Err())
	}
	return b, err
}

// openStore opens the database for a command that writes it. It seeds nothing.
func (p program) openStore(ctx context.Context) (b backend, done func() error, err error) {
	cfg, log, err := p.prepared()
	if err != nil {
		return backend{}, nil, err
	}
	b, err = openBackend(ctx, cfg, nil, log)
	return b, func() error { return b.close(log) }, inUse(err)
}

// reader is a database for a command that changes nothing.
type reader interface {
	GetMany(ctx context.Context, ids []store.ID) (store.Found, error)
	List(ctx context.Context, q store.Query) (store.Page, error)
}

// openReader opens the database for a command that changes nothing.
func (p program) openReader(ctx context.Context) (r reader, done func() error, err error) {
	cfg, log, err := p.prepared()
	if err != nil {
		return nil, nil, err
	}
	if cfg.Store.Driver == "postgres" {
		b, err := openPostgres(ctx, cfg, true, log)
		return b, func() error { return b.close(log) }, err
	}
	file, err := boltstore.OpenReader(ctx, boltOptions(cfg.Store.Bolt, log))
	if err != nil {
		return nil, nil, inUse(err)
	}
	return file, file.Close, nil
}

// prepared is the configuration and the log of a command that works on the database instead of a service.
func (p program) prepared() (config.Config, *slog.Logger, error) {
	cfg, err := p.load()
	if err != nil {
		return config.Config{}, nil, err
	}
	limitMemory()
	log, _ := newLogger(cfg.Log, p.stderr, isTerminal(p.stderr))
	return cfg.Config, log, nil
}

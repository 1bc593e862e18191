package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"accountservice/config"
	"accountservice/internal/handlers"
	"accountservice/internal/store"
)

// serve is the life of the service: each defer undoes the line above it, so
// that shutdown is startup read upwards. It logs its error and returns it with
// the exit code.
func serve(ctx context.Context, cfg config.Config, log *slog.Logger) (err error) {
	defer func() { err = ended(err, log) }()
	memory := limitMemory()
	log.Info("starting", "version", version, "port", cfg.HTTP.Port, "database", cfg.Store.Bolt.Path, "memory_limit", memory)
	metrics := newRegistry()
	live := &live{}
	live.SetStore(store.Unavailable("starting"))
	live.SetHealth(pending("opening the database"))
	api, err := newAPI(ctx, cfg.HTTP, live, metrics, log)
	if err != nil {
		return err
	}
	front, err := listenFront(cfg.HTTP, api, log)
	if err != nil {
		return err
	}
	defer front.close()
	adminAPI := handlers.Admin{Metrics: metrics, Version: version, Addr: cfg.Admin.Addr, Log: log}
	admin, err := listenAdmin(cfg.Admin, adminAPI, log)
	if err != nil {
		return err
	}
	defer admin.close()
	accounts, err := openSeeded(ctx, cfg, live, log)
	if err != nil {
		return err
	}
	defer func() { err = closeJudged(err, accounts, log) }()
	runner, err := newRunner(accounts.Checks, cfg, metrics, log)
	if err != nil {
		return err
	}
	defer background(runner.Run)()
	adminAPI.Maintainer = runner
	admin.serve(adminAPI)
	live.SetStore(accounts)
	live.SetHealth(runner)
	return front.serveUntil(ctx, runner)
}

// newAPI returns the routes for clients and probes.
func newAPI(ctx context.Context, cfg config.HTTP, live *live, metrics *prometheus.Registry, log *slog.Logger) (http.Handler, error) {
	requests, err := handlers.NewMetrics(metrics)
	if err != nil {
		return nil, err
	}
	return handlers.API{
		Store:                live,
		Health:               live,
		Version:              version,
		MaxBody:              int64(cfg.MaxBody),
		Log:                  log,
		Metrics:              requests,
		MaxConcurrent:        cfg.MaxConcurrent,
		RequirePreconditions: cfg.RequirePreconditions,
		Stopping:             ctx,
	}.Handler(), nil
}

// openSeeded opens the store, fills a new one, and shows in live what it waits for.
func openSeeded(ctx context.Context, cfg config.Config, live *live, log *slog.Logger) (backend, error) {
	waiting := func(reason string) {
		log.Warn("waiting for the database", "reason", reason)
		live.SetHealth(pending("opening the database: " + reason))
	}
	accounts, err := openBackend(ctx, cfg, opening{create: true, waiting: waiting, log: log})
	if err != nil {
		return backend{}, err
	}
	n, err := accounts.Seed(ctx, store.Fakes(cfg.Store.Seed))
	if err != nil {
		accounts.close(log)
		return backend{}, fmt.Errorf("writing the first accounts: %w; look for free space, and for disk errors in the kernel's log", err)
	}
	if n > 0 {
		log.Info(fmt.Sprintf("Seeded %d fake accounts", n))
	}
	return accounts, nil
}

// closeJudged closes the store after the last request. A stop that would have
// been a good one is not if the store failed during it.
func closeJudged(err error, accounts backend, log *slog.Logger) error {
	lost := errors.Join(accounts.close(log), accounts.Failure())
	var known *exit
	if lost == nil || err != nil && !(errors.As(err, &known) && known.code == exitCutShort) {
		return err
	}
	return &exit{exitUnhealthy, fmt.Errorf("the database failed while the service stopped: %w", errors.Join(lost, err))}
}

// ended logs the end of serve and gives its error an exit code.
func ended(err error, log *slog.Logger) error {
	var known *exit
	switch {
	case err == nil:
		log.Info("stopped")
		return nil
	case errors.As(err, &known):
	case errors.Is(err, context.Canceled): // while the store was opening
		known = &exit{exitUnhealthy, fmt.Errorf("told to stop before it was ready: %w", err)}
	default:
		known = &exit{exitFailed, err}
	}
	log.Error("stopped", "exit_code", known.code, "err", err)
	return known
}

// newRegistry has the metrics of the process: version, Go runtime, system.
func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "accountservice_build_info", Help: "Always 1; the label tells the version.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	reg.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// background runs f until the function it returns is called, which waits for it.
func background(f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

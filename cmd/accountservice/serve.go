package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/checks/dependency"
	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
)

// closeTimeout bounds the closing of the store, after all requests have ended.
const closeTimeout = 2 * time.Second

// serve is the life of the service: each defer undoes the line above it, so
// that shutdown is startup read upwards. It logs its error and returns it with
// the exit code.
func serve(ctx context.Context, cfg config.Config, environ []string, log *slog.Logger) (err error) {
	defer func() { err = ended(err, log) }()
	me := checks.Component{Name: "accountservice", Version: version}
	log.Info("starting", "version", version, "port", cfg.HTTP.Port, "database", cfg.Store.Bolt.Path, "memory_limit", limitMemory())

	metrics := newRegistry()
	requests, err := handlers.NewMetrics(metrics)
	if err != nil {
		return err
	}
	api := handlers.API{Version: version, MaxBody: int64(cfg.HTTP.MaxBody), Log: log, Metrics: requests, Stopping: ctx, MaxConcurrent: cfg.HTTP.MaxConcurrent,
		RequirePreconditions: cfg.HTTP.RequirePreconditions}
	api.Store, api.Health = store.Unavailable("starting"), checks.Pending{Component: me, Reason: "opening the database"}
	front, err := listen(cfg.HTTP, api.Handler(), log)
	if err != nil {
		return err
	}
	defer front.close()
	defer serveProbe(front, environ, log)()
	orders := handlers.Admin{Metrics: metrics, Version: version, Addr: cfg.Admin.Addr, Log: log}
	admin, err := listenAdmin(cfg.Admin, orders, log)
	if err != nil {
		return err
	}
	defer admin.close()
	waiting := func(reason string) {
		log.Warn("waiting for the database", "reason", reason)
		api.Health = checks.Pending{Component: me, Reason: "opening the database: " + reason}
		front.swap(api.Handler())
	}
	accounts, err := openStore(ctx, cfg.Store, waiting, log)
	if err != nil {
		return err
	}
	defer func() { err = closeJudged(err, accounts, log) }()
	list, err := checkList(accounts, cfg, log)
	if err != nil {
		return err
	}
	runner, err := checks.New(me, log, list...)
	if err != nil {
		return err
	}
	if err := runner.Register(metrics); err != nil {
		return err
	}
	defer background(runner.Run)()
	orders.Maintainer = runner
	admin.swap(orders)
	api.Store, api.Health = accounts, runner
	front.swap(api.Handler())
	return front.serveUntil(ctx, runner)
}

// ended turns serve's error into an exit, said once.
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

// openStore opens the accounts, and fills a new database.
func openStore(ctx context.Context, cfg config.Store, waiting func(string), log *slog.Logger) (*boltstore.Store, error) {
	if cfg.Bolt.Volume == "require" {
		if err := checks.Volume(filepath.Dir(cfg.Bolt.Path))(ctx); err != nil {
			return nil, fmt.Errorf("store.bolt.volume is require: %w", err)
		}
	}
	accounts, err := boltstore.Open(ctx, boltstore.Options{
		Path:        cfg.Bolt.Path,
		OpenTimeout: cfg.Bolt.OpenTimeout,
		Waiting:     waiting,
		MustExist:   cfg.Bolt.Create == "never",
		RescueDir:   cfg.Bolt.RescueDir,
		Log:         log,

		AcceptOlderMeta: cfg.Bolt.AcceptOlderMeta,
	})
	if err != nil {
		return nil, err
	}
	n, err := accounts.Seed(ctx, store.Fakes(cfg.Seed))
	if err != nil {
		closeStore(accounts, log)
		return nil, fmt.Errorf("writing into %s: %w; look for free space, and for disk errors in the kernel's log", cfg.Bolt.Path, err)
	}
	if n > 0 {
		log.Info(fmt.Sprintf("Seeded %d fake accounts", n))
	}
	return accounts, nil
}

// closeJudged closes the accounts after the last request, and judges an end that
// was to be a good one again: they may have been lost since the order to stop.
func closeJudged(err error, accounts *boltstore.Store, log *slog.Logger) error {
	lost := errors.Join(closeStore(accounts, log), accounts.Failure())
	var known *exit
	if lost == nil || err != nil && !(errors.As(err, &known) && known.code == exitCutShort) {
		return err
	}
	return &exit{exitUnhealthy, fmt.Errorf("the database failed while the service stopped: %w", errors.Join(lost, err))}
}

func closeStore(accounts store.Store, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := accounts.Close(ctx)
	if err != nil {
		log.Error("closing the database", "err", err)
	}
	return err
}

// checkList is everything that is watched.
func checkList(accounts *boltstore.Store, cfg config.Config, log *slog.Logger) ([]checks.Check, error) {
	folder := filepath.Dir(cfg.Store.Bolt.Path)
	ask := accounts.Check
	if cfg.Checks.Bolt.WriteCanary {
		ask = inTurn(accounts.Check, accounts.CheckWrite)
	}
	list := []checks.Check{
		newCheck("bolt", cfg.Checks.Bolt.Check, ask),
		newCheck("records", cfg.Checks.Records, accounts.CheckRecords),
		newCheck("disk", cfg.Checks.Disk.Check, both(accounts.CheckWritable, checks.Disk(folder, int64(cfg.Checks.Disk.MinFree)))),
	}
	if cfg.Store.Bolt.Volume != "ignore" {
		all := cfg.Checks
		list = append(list, newCheck("volume", config.Check{
			Interval: all.Interval, Timeout: all.Timeout, FailAfter: all.FailAfter, PassAfter: all.PassAfter, StaleAfter: all.StaleAfter,
			OnFailure: "degrade", // a new container would have no volume either
		}, checks.Volume(folder)))
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Checks.Dependencies)) {
		dep := cfg.Checks.Dependencies[name]
		ask, err := dependency.New(dep.URL.Reveal(), dep.Timeout, dep.FailAfter)
		if err != nil {
			return nil, fmt.Errorf("checks.dependencies.%s.url: %w", name, err)
		}
		list = append(list, newCheck(name, dep.Check, ask))
	}
	return list, nil
}

// unusableURLs is the config.Rule for the dependencies of which no check can be
// made.
func unusableURLs(cfg config.Config) map[string]error {
	faults := make(map[string]error)
	for name, dep := range cfg.Checks.Dependencies {
		_, err := dependency.New(dep.URL.Reveal(), dep.Timeout, dep.FailAfter)
		if err != nil && dep.URL != (config.URL{}) { // its absence is said already
			faults["checks.dependencies."+name+".url"] = err
		}
	}
	return faults
}

// both asks two questions as one.
func both(first, second func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return errors.Join(first(ctx), second(ctx)) }
}

// inTurn asks the second question if the first has a good answer.
func inTurn(first, second func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := first(ctx); err != nil {
			return err
		}
		return second(ctx)
	}
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

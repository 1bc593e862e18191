package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"slices"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/checks/dependency"
	"accountservice/internal/connections"
	"accountservice/internal/handlers"
	"accountservice/internal/store"
)

// serve is the life of the service: each defer undoes the line above it, so that shutdown is startup read upwards. It
// logs its error and returns it with the exit code.
func serve(ctx context.Context, cfg config.Config, environ []string, lines *logQueue, log *slog.Logger) (err error) {
	defer func() { err = ended(err, log) }()
	memory, origin := limitMemory()
	pool := newPool(cfg.HTTP, memory, log)
	log.Info("starting", "version", version, "port", cfg.HTTP.Port, "database", cfg.Store.Bolt.Path,
		"memory_limit", origin, "max_connections", pool.Most())
	if limit, few := tooFewThreads("/sys/fs/cgroup"); few {
		log.Warn("the container may have too few threads, and a process that gets none ends: raise its limit of pids",
			"limit", limit, "enough", enoughThreads)
	}
	defer background(pool.Run)()
	metrics, live := newRegistry(lines), &handlers.Live{}
	live.SetHealth(pending("opening the database"))
	api, err := newAPI(ctx, cfg.HTTP, live, metrics, log)
	if err != nil {
		return err
	}
	front, err := listenFront(cfg.HTTP, pool, api, log)
	if err != nil {
		return err
	}
	defer front.close()
	defer serveProbe(pool, front, environ, log).close()
	admin, err := listenAdmin(cfg.Admin, pool, newAdminAPI(cfg.Admin, live, metrics, log), log)
	if err != nil {
		return err
	}
	defer admin.close()
	accounts, err := openSeeded(ctx, cfg, live, log)
	if err != nil {
		return err
	}
	defer func() { err = closeJudged(err, accounts, log) }()
	runner, err := newRunner(append(accounts.Checks, ownCheck("log", cfg.Checks, lines.check)), cfg, metrics, log)
	if err != nil {
		return err
	}
	defer background(runner.Run)()
	live.SetStore(accounts)
	live.SetMaintainer(runner)
	live.SetHealth(runner)
	log.Info("serving", "url", fmt.Sprintf("http://localhost:%d", cfg.HTTP.Port))
	return front.serveUntil(ctx, runner)
}

// newPool returns the pool of the clients' connections.
func newPool(cfg config.HTTP, memory int64, log *slog.Logger) *connections.Pool {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		files.Cur = 1024 // of most systems
	}
	limits := connections.LimitsFor(int64(min(files.Cur, math.MaxInt64)), memory)
	limits.Connections = cmp.Or(cfg.MaxConnections, limits.Connections)
	return connections.New(limits, log)
}

// newAPI returns the routes for clients and probes.
func newAPI(ctx context.Context, cfg config.HTTP, live *handlers.Live, metrics *prometheus.Registry,
	log *slog.Logger) (http.Handler, error) {
	requests, err := handlers.NewMetrics(metrics)
	return handlers.New(handlers.Options{
		Live: live, Version: version, MaxBody: int64(cfg.MaxBody), Log: log, Metrics: requests, Stopping: ctx,
		MaxConcurrent: cfg.MaxConcurrent, RequirePreconditions: cfg.RequirePreconditions,
	}), err
}

// newAdminAPI returns the routes for operators.
func newAdminAPI(cfg config.Admin, live *handlers.Live, metrics prometheus.Gatherer, log *slog.Logger) http.Handler {
	return handlers.NewAdmin(handlers.AdminOptions{
		Live: live, Metrics: metrics, Version: version, Addr: cfg.Addr, Log: log,
	})
}

// openSeeded opens the store, fills a new one, and shows in live what it waits for.
func openSeeded(ctx context.Context, cfg config.Config, live *handlers.Live, log *slog.Logger) (backend, error) {
	waiting := func(reason string) {
		log.Warn("waiting for the database", "reason", reason)
		live.SetHealth(pending("opening the database: " + reason))
	}
	accounts, err := openBolt(ctx, cfg, waiting, log)
	if err != nil {
		return backend{}, err
	}
	n, err := accounts.Seed(ctx, store.Fakes(cfg.Store.Seed))
	if err != nil {
		accounts.close(log)
		return backend{}, fmt.Errorf("writing the first accounts: %w; check the free space and the kernel's log", err)
	}
	if n > 0 {
		log.Info(fmt.Sprintf("Seeded %d fake accounts", n))
	}
	return accounts, nil
}

// newRunner returns a runner of the service's own checks and those of the dependencies.
func newRunner(own []checks.Check, cfg config.Config, metrics prometheus.Registerer,
	log *slog.Logger) (*checks.Runner, error) {
	others, faults := dependencyChecks(cfg)
	if len(faults) > 0 { // none when the configuration was loaded, but a file that a URL names can have gone
		return nil, fmt.Errorf("dependencies that cannot be checked: %v", faults)
	}
	runner, err := checks.New(component(), log, slices.Concat(own, others)...)
	if err != nil {
		return nil, err
	}
	return runner, runner.Register(metrics)
}

// dependencyChecks are the checks of the configured dependencies in the order of their names, and for the key of each
// URL that cannot be checked its fault.
func dependencyChecks(cfg config.Config) (list []checks.Check, faults map[string]error) {
	faults = make(map[string]error)
	for _, name := range slices.Sorted(maps.Keys(cfg.Checks.Dependencies)) {
		dep := cfg.Checks.Dependencies[name]
		if dep.URL == (config.URL{}) { // config reports it
			continue
		}
		asker, err := dependency.New(dep.URL.Reveal(), dep.Timeout, dep.FailAfter)
		if err != nil {
			faults["checks.dependencies."+name+".url"] = err
			continue
		}
		check := newCheck(name, dep.Check, asker.Ask)
		check.Close = asker.Close
		list = append(list, check)
	}
	return list, faults
}

// component is what the health of this process is about.
func component() checks.Component {
	return checks.Component{Name: "accountservice", Version: version}
}

// pending is the health before the first check.
func pending(reason string) checks.Pending {
	return checks.Pending{Component: component(), Reason: reason}
}

// closeJudged closes the store after the last request. A stop that would have been a good one is not if the store
// failed during it.
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
	log.Error("stopped", "exit_code", known.code, "err", known.err)
	return &exit{code: known.code}
}

// newRegistry has the metrics of the process: version, log, Go runtime, system.
func newRegistry(lines *logQueue) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "accountservice_build_info", Help: "Always 1; the label tells the version.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	dropped := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "accountservice_log_lines_dropped_total", Help: "Lines of the log that its reader did not take.",
	}, func() float64 { return float64(lines.dropped.Load()) })
	reg.MustRegister(build, dropped, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// background runs f until the function it returns is called, which waits for it.
func background(f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

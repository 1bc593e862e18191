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
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"accountservice/config"
	"accountservice/internal/auth"
	"accountservice/internal/checks"
	"accountservice/internal/checks/dependency"
	"accountservice/internal/connections"
	"accountservice/internal/handlers"
	"accountservice/internal/notify"
	"accountservice/internal/store"
	"accountservice/internal/store/metered"
)

// serve is the life of the service: each defer undoes the line above it, so that shutdown is startup read upwards. It
// logs its error and returns it with the exit code.
func serve(ctx context.Context, cfg config.Config, environ []string, lines *logQueue, log *slog.Logger,
	level *slog.LevelVar) (err error) {
	begin := time.Now()
	defer func() { err = ended(err, cfg.Store, log) }()
	tokens, err := openTokens(cfg.Auth, log)
	if err != nil {
		return err
	}
	if tokens != nil {
		defer background(tokens.Run)()
	}
	leaveRoomForFlushes()
	memory, origin := limitMemory()
	pool := newPool(cfg.HTTP, memory, log)
	logStart(cfg, pool.Most(), origin, log)
	defer background(pool.Run)()
	metrics, live := newRegistry(lines), handlers.NewLive()
	live.SetHealth(pending("opening the database"))
	pool.Register(metrics)
	front, err := listenFront(cfg.HTTP, pool, newAPI(ctx, cfg, tokens, live, metrics, log), log)
	if err != nil {
		return err
	}
	defer front.close()
	defer front.answerHeld(live)
	defer serveProbe(pool, front, environ, log).close()
	admin, err := listenAdmin(cfg.Admin, pool, newAdminAPI(cfg.Admin, tokens, live, metrics, log, level), log)
	if err != nil {
		return err
	}
	defer admin.close()
	defer admin.answerLast()
	defer background(newSystemd(ctx, cfg.Store.Bolt, environ, live, log).Run)()
	accounts, err := openSeeded(ctx, cfg, live, log)
	if err != nil {
		return err
	}
	defer func() { err = closeJudged(err, accounts, log) }()
	runBackups, backups, err := scheduled(&accounts, cfg, metrics, log)
	if err != nil {
		return err
	}
	defer background(runBackups)()
	own := slices.Concat(accounts.Checks, backups, front.checks(cfg.Checks), authChecks(tokens, cfg),
		[]checks.Check{ownCheck("log", cfg.Checks, lines.check)})
	runner, err := newRunner(own, cfg, metrics, log)
	if err != nil {
		return err
	}
	defer background(runner.Run)()
	notifier := newNotifier(cfg.Notify, runner, metrics, log)
	goLive(live, accounts, cfg, runner, metrics)
	log.Info("serving", "url", front.url(), "database", database(cfg.Store),
		"started_in", time.Since(begin).Round(time.Millisecond))
	defer background(notifier.Run)()
	return front.serveUntil(ctx, runner)
}

// logStart logs what is served, within which limits.
func logStart(cfg config.Config, connections int, memory string, log *slog.Logger) {
	facts := []any{"version", version, "port", cfg.HTTP.Port, "database", database(cfg.Store), "max_connections", connections}
	if memory != unlimited {
		facts = append(facts, "memory_limit", memory)
	}
	log.Info("starting", facts...)
	if limit, few := tooFewThreads("/sys/fs/cgroup"); few {
		log.Warn("the container may have too few threads, without which the service ends and its probe fails: "+
			"raise its limit of pids", "limit", limit, "enough", enoughThreads)
	}
}

// goLive has the routes serve the open store, whose calls metrics shows, its backups, and what the runner publishes.
func goLive(live *handlers.Live, accounts backend, cfg config.Config, runner *checks.Runner,
	metrics prometheus.Registerer) {
	if accounts.Register != nil {
		accounts.Register(metrics)
	}
	live.Serve(handlers.Parts{Store: metered.New(accounts.Store, metrics), Maintainer: runner, Size: accounts.Size,
		Backuper: copies{accounts.Copy, filepath.Dir(cfg.Store.Bolt.Path)}})
	live.SetHealth(runner)
}

// newNotifier returns what tells others of the health.
func newNotifier(cfg config.Notify, runner *checks.Runner, metrics prometheus.Registerer,
	log *slog.Logger) *notify.Notifier {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	n := notify.New(notify.Options{URL: cfg.URL.Reveal(), HeartbeatURL: cfg.HeartbeatURL.Reveal(), Instance: name,
		Health: runner.Snapshot, Log: log})
	n.Register(metrics)
	return n
}

// newPool returns the pool of the clients' connections.
func newPool(cfg config.HTTP, memory int64, log *slog.Logger) *connections.Pool {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		files.Cur = 1024 // of most systems
	}
	limits := connections.LimitsFor(int64(min(files.Cur, math.MaxInt64)), memory, cfg.TLS.On())
	limits.Connections = cmp.Or(cfg.MaxConnections, limits.Connections)
	return connections.New(limits, log.With("see", "http.max_connections"))
}

// newAPI returns the routes for clients and probes.
func newAPI(ctx context.Context, cfg config.Config, tokens *auth.Tokens, live *handlers.Live,
	metrics prometheus.Registerer, log *slog.Logger) http.Handler {
	return handlers.New(handlers.Options{
		Live: live, Version: version, MaxBody: int64(cfg.HTTP.MaxBody), Log: log, Metrics: handlers.NewMetrics(metrics),
		Stopping: ctx, MaxConcurrent: cfg.HTTP.MaxConcurrent, Hold: cfg.HTTP.Hold,
		RequirePreconditions: cfg.HTTP.RequirePreconditions, Hosts: cfg.HTTP.Hosts, Tokens: tokens,
		ShowReasons: cfg.Health.Details == "always", StatusPage: cfg.HTTP.StatusPage,
	})
}

// newAdminAPI returns the routes for operators. On loopback they need no token.
func newAdminAPI(cfg config.Admin, tokens *auth.Tokens, live *handlers.Live, metrics prometheus.Gatherer,
	log *slog.Logger, level *slog.LevelVar) http.Handler {
	if cfg.Loopback() {
		tokens = nil
	}
	return handlers.NewAdmin(handlers.AdminOptions{
		Live: live, Metrics: metrics, Version: version, Addr: cfg.Addr, Log: log, Level: level, Tokens: tokens,
	})
}

// openSeeded opens the store, fills a new one, and shows in live what it waits for. It logs why the service stopped
// before.
func openSeeded(ctx context.Context, cfg config.Config, live *handlers.Live, log *slog.Logger) (backend, error) {
	stops := earlierStops(cfg.Store, log)
	accounts, err := openBackend(ctx, cfg, func(doing string) { live.SetHealth(pending(doing)) }, log)
	if err != nil || cfg.Store.Driver == "postgres" { // migrate up fills that one
		return accounts, err
	}
	accounts.Checks = append(accounts.Checks, stopChecks(stops, cfg.Checks)...)
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
	runner.Register(metrics)
	return runner, nil
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

// pending is the health before the first check.
func pending(reason string) checks.Pending {
	return checks.Pending{Component: component(), Reason: reason}
}

// closeJudged closes the store after the last request. If the store has failed by then, a stop without an
// error, or one that was cut short, ends with exitUnhealthy.
func closeJudged(err error, accounts backend, log *slog.Logger) error {
	lost := errors.Join(accounts.close(log), accounts.Failure())
	var known *exit
	if lost == nil || err != nil && !(errors.As(err, &known) && known.code == exitCutShort) {
		return err
	}
	return &exit{exitUnhealthy, fmt.Errorf("the database failed while the service stopped: %w", errors.Join(lost, err))}
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

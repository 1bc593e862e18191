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
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"accountservice/config"
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
	i := instance{cfg, log, lines, tokens, handlers.NewLive(), newRegistry(lines)}
	i.live.SetHealth(pending("opening the database"))
	pool.Register(i.metrics)
	front, err := listenFront(cfg.HTTP, pool, i.newAPI(ctx), log)
	if err != nil {
		return err
	}
	defer front.close()
	defer front.answerHeld(i.live)
	defer serveProbe(pool, front, environ, log).close()
	admin, err := listenAdmin(cfg.Admin, pool, i.newAdminAPI(level), log)
	if err != nil {
		return err
	}
	defer admin.close()
	defer admin.answerLast()
	defer background(i.newSystemd(ctx, environ).Run)()
	return i.serveAccounts(ctx, front, begin)
}

// serveAccounts is the part of serve that has a store.
func (i instance) serveAccounts(ctx context.Context, front *front, begin time.Time) (err error) {
	accounts, err := i.openSeeded(ctx)
	if err != nil {
		return err
	}
	defer func() { err = closeJudged(err, accounts, i.log) }()
	runBackups, backups, err := i.scheduled(&accounts)
	if err != nil {
		return err
	}
	defer background(runBackups)()
	own := slices.Concat(accounts.Checks, backups, front.checks(i.cfg.Checks), authChecks(i.tokens, i.cfg),
		[]checks.Check{ownCheck("log", i.cfg.Checks, i.lines.check)})
	runner, err := i.newRunner(own)
	if err != nil {
		return err
	}
	defer background(runner.Run)()
	notifier := i.newNotifier(runner)
	i.goLive(accounts, runner)
	i.log.Info("serving", "url", front.url(), "database", database(i.cfg.Store),
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

// goLive makes the routes serve the open store, whose calls metrics shows, its backups, and what the runner publishes.
func (i instance) goLive(accounts backend, runner *checks.Runner) {
	if accounts.Register != nil {
		accounts.Register(i.metrics)
	}
	parts := handlers.Parts{Store: metered.New(accounts.Store, i.metrics), Maintainer: runner, Size: accounts.Size}
	if accounts.Copy != nil {
		parts.Backup = func(ctx context.Context) (*handlers.Copy, error) { return i.copyOf(ctx, accounts) }
	}
	i.live.Serve(parts)
	i.live.SetHealth(runner)
}

func (i instance) newNotifier(runner *checks.Runner) *notify.Notifier {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	to := i.cfg.Notify
	n := notify.New(notify.Options{URL: to.URL.Reveal(), HeartbeatURL: to.HeartbeatURL.Reveal(), Instance: name,
		Health: runner.Snapshot, Log: i.log})
	n.Register(i.metrics)
	return n
}

func newPool(cfg config.HTTP, memory int64, log *slog.Logger) *connections.Pool {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		files.Cur = 1024 // of most systems
	}
	limits := connections.LimitsFor(int64(min(files.Cur, math.MaxInt64)), memory, cfg.TLS.On())
	limits.Connections = cmp.Or(cfg.MaxConnections, limits.Connections)
	return connections.New(limits, log.With("see", "http.max_connections"))
}

func (i instance) newAPI(ctx context.Context) http.Handler {
	cfg := i.cfg.HTTP
	return handlers.New(handlers.Options{
		Live: i.live, Version: version, MaxBody: int64(cfg.MaxBody), Log: i.log, Metrics: handlers.NewMetrics(i.metrics),
		Stopping: ctx, MaxConcurrent: cfg.MaxConcurrent, Hold: cfg.Hold, RequirePreconditions: cfg.RequirePreconditions,
		Hosts: cfg.Hosts, Tokens: i.tokens, ShowReasons: i.cfg.Health.Details == "always", StatusPage: cfg.StatusPage,
	})
}

// newAdminAPI returns the routes for operators. On loopback they need no token.
func (i instance) newAdminAPI(level *slog.LevelVar) http.Handler {
	tokens := i.tokens
	if i.cfg.Admin.Loopback() {
		tokens = nil
	}
	return handlers.NewAdmin(handlers.AdminOptions{Live: i.live, Metrics: i.metrics, Version: version,
		Addr: i.cfg.Admin.Addr, Log: i.log, Level: level, Tokens: tokens})
}

// openSeeded opens the store, fills a new one, and shows in live what it waits for. It logs why the service stopped
// before.
func (i instance) openSeeded(ctx context.Context) (backend, error) {
	stops := earlierStops(i.cfg.Store, i.log)
	accounts, err := openUntilStopped(ctx, i.cfg, func(doing string) { i.live.SetHealth(pending(doing)) }, i.log)
	if err != nil || i.cfg.Store.Driver == "postgres" { // migrate up fills that one
		return accounts, err
	}
	accounts.Checks = append(accounts.Checks, stopChecks(stops, i.cfg.Checks)...)
	n, err := accounts.Seed(ctx, store.Fakes(i.cfg.Store.Seed))
	if err != nil {
		accounts.close(i.log)
		return backend{}, fmt.Errorf("writing the first accounts: %w; check the free space and the kernel's log", err)
	}
	if n > 0 {
		i.log.Info(fmt.Sprintf("Seeded %d fake accounts", n))
	}
	return accounts, nil
}

// newRunner returns a runner of the service's own checks and those of the dependencies.
func (i instance) newRunner(own []checks.Check) (*checks.Runner, error) {
	others, faults := dependencyChecks(i.cfg)
	if len(faults) > 0 { // none when the configuration was loaded, but a file that a URL names can have gone
		return nil, fmt.Errorf("dependencies that cannot be checked: %v", faults)
	}
	runner, err := checks.New(component(), i.log, slices.Concat(own, others)...)
	if err != nil {
		return nil, err
	}
	runner.Register(i.metrics)
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

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/handlers"
)

const (
	// writeTimeout bounds a whole answer, from the end of its request's header.
	writeTimeout = 30 * time.Second
	// maxHeader bounds a request's header in bytes; net/http adds 4 KiB of slack.
	maxHeader = 16 << 10
)

// front is the listener and server of the service. It listens before anything
// else is opened, so that a probe finds an answer, and is told what to serve
// later.
type front struct {
	cfg      config.HTTP
	log      *slog.Logger
	server   *http.Server
	handler  atomic.Pointer[http.Handler]
	draining atomic.Bool
	requests atomic.Int64 // under way
	ended    chan error   // what Serve returned
}

// listen takes the port and serves first on it.
func listen(cfg config.HTTP, first http.Handler, log *slog.Logger) (*front, error) {
	f := &front{cfg: cfg, log: log, ended: make(chan error, 1)}
	f.swap(first)
	f.server = &http.Server{
		Handler:           f,
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    maxHeader,

		DisableGeneralOptionsHandler: true,                                              // OPTIONS * is answered like any unknown path
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug), // of clients, not of ours
	}
	addr := net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	listener, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d is taken by another process; stop it or set http.port: %w", cfg.Port, err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s (http.host, http.port): %w", addr, err)
	}
	go func() { f.ended <- f.server.Serve(handlers.Problems(listener)) }()
	return f, nil
}

func (f *front) swap(h http.Handler) { f.handler.Store(&h) }

// ServeHTTP implements http.Handler. While draining, every answer tells the
// client to come back by a new connection, which will lead elsewhere.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests.Add(1)
	defer f.requests.Add(-1)
	if f.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	(*f.handler.Load()).ServeHTTP(w, r)
}

func (f *front) close() { f.server.Close() }

// serveUntil serves until ctx ends and drains then, or until the listener
// fails. Its error is nil after a drain in time by a healthy service.
func (f *front) serveUntil(ctx context.Context, runner *checks.Runner) error {
	select {
	case err := <-f.ended:
		return fmt.Errorf("the listener failed: %w", err)
	case <-ctx.Done():
	}
	var outcome error
	switch {
	case !runner.WasReady():
		outcome = &exit{exitUnhealthy, errors.New("told to stop before it was ever ready")}
	case !runner.Snapshot().Healthy:
		outcome = &exit{exitUnhealthy, errors.New("told to stop while unhealthy")}
	}
	f.log.Info("draining", "delay", f.cfg.DrainDelay.String(), "at_most", f.cfg.ShutdownTimeout.String())
	f.draining.Store(true)
	runner.Drain()
	time.Sleep(f.cfg.DrainDelay)
	deadline, cancel := context.WithTimeout(context.Background(), f.cfg.ShutdownTimeout)
	defer cancel()
	// Shutdown waits some seconds for new connections that have sent no request yet
	if err := f.server.Shutdown(deadline); err != nil && outcome == nil && f.requests.Load() > 0 {
		outcome = &exit{exitCutShort, fmt.Errorf("requests were still under way after http.shutdown_timeout %s: %w", f.cfg.ShutdownTimeout, err)}
	}
	return outcome
}

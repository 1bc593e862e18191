package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"accountservice/config"
	"accountservice/internal/certificate"
	"accountservice/internal/checks"
	"accountservice/internal/connections"
	"accountservice/internal/handlers"
)

const (
	// writeTimeout bounds a whole answer, from when its request must have arrived.
	writeTimeout = 30 * time.Second
	// answerTime bounds how long the end of the service waits for answers to operators. An orchestrator may kill it soon.
	answerTime = time.Second
	// maxHeader bounds a request's header in bytes; net/http adds 4 KiB of slack.
	maxHeader = 16 << 10
)

// adminLimits bound the connections of operators: who reaches their address without a token must not use up the memory.
var adminLimits = connections.Limits{Connections: 64, Bytes: 16 << 20}

// listener is an HTTP server on its own port.
type listener struct {
	server *http.Server
	ended  chan struct{} // closed when it serves no longer
	err    error         // why, after ended
	stop   func()        // of its own pool; may be nil
}

// listen takes addr. An error names the address as what, and the settings that decide it.
func listen(addr, what, settings string) (net.Listener, error) {
	taken, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		err = fmt.Errorf("%s is taken by another process: stop that or change %s: %w", what, settings, err)
	case errors.Is(err, syscall.EACCES):
		err = fmt.Errorf("this user may not listen on %s: set %s to a port from 1024 on: %w", what, settings, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		err = fmt.Errorf("this machine has no such address for %s: change %s: %w", what, settings, err)
	case err != nil:
		err = fmt.Errorf("cannot listen on %s, which %s decides: %w", what, settings, err)
	}
	return taken, err
}

// serveOn serves on a taken address until close, by pool.Serve or server.Serve. The caller sets the server's handler
// and timeouts.
func serveOn(taken net.Listener, server *http.Server, log *slog.Logger,
	serve func(*http.Server, net.Listener) error) *listener {
	server.MaxHeaderBytes = maxHeader
	server.Handler = closeAfterChunks(server.Handler)
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug) // errors of clients, not of the service
	l := &listener{server: server, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		l.err = serve(server, taken)
	}()
	return l
}

// closeAfterChunks closes the connection after the answer to a body in chunks. Its header may give a length too, which
// net/http hides: a proxy that goes by the length would take the rest of the body for a request (RFC 9112, 6.1).
func closeAfterChunks(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TransferEncoding != nil {
			w.Header().Set("Connection", "close")
		}
		api.ServeHTTP(w, r)
	})
}

// answerLast waits for the answers to the requests under way, for a moment: the end of the service has ended most of
// their work. On nil it does nothing.
func (l *listener) answerLast() {
	if l != nil {
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		l.server.Shutdown(ctx) // close cuts what is left
	}
}

// close cuts what is under way and waits for the server's goroutine. On nil it does nothing.
func (l *listener) close() {
	if l != nil {
		l.server.Close()
		<-l.ended
		if l.stop != nil {
			l.stop()
		}
	}
}

// listenAdmin serves api to operators on their own address, or returns nil if there is none. Their connections are not
// in pool, but where there is no file descriptor for one, it closes some of its own.
func listenAdmin(cfg config.Admin, pool *connections.Pool, api http.Handler, log *slog.Logger) (*listener, error) {
	if cfg.Off() {
		return nil, nil
	}
	taken, err := listen(cfg.Addr, "admin.addr "+cfg.Addr, "admin.addr, which may be off")
	if err != nil {
		return nil, err
	}
	log.Info("operators are served", "admin.addr", taken.Addr().String())
	own := connections.New(adminLimits, log.With("see", "admin.addr"))
	l := serveOn(pool.Reserved(taken), &http.Server{
		Handler:           api,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * time.Minute, // a profile may take one
		IdleTimeout:       6 * time.Minute, // Prometheus keeps a connection for 5
	}, log, own.Serve)
	l.stop = background(own.Run)
	return l, nil
}

// front is the server for clients and probes. It listens before the store is opened, so that a probe gets an answer
// from the start.
type front struct {
	*listener
	cfg         config.HTTP
	certificate *certificate.Pair // nil without TLS
	pool        *connections.Pool
	log         *slog.Logger
	api         http.Handler
	draining    atomic.Bool
	requests    atomic.Int64 // under way
}

// listenFront takes the port and serves api on it, over TLS if there is a certificate.
func listenFront(cfg config.HTTP, pool *connections.Pool, api http.Handler, log *slog.Logger) (*front, error) {
	taken, err := listen(net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)), fmt.Sprintf("port %d", cfg.Port),
		"http.host or http.port")
	if err != nil {
		return nil, err
	}
	pair, secure, err := loadCertificate(cfg.TLS, log)
	if err != nil {
		return nil, errors.Join(err, taken.Close())
	}
	f := &front{cfg: cfg, certificate: pair, pool: pool, log: log, api: api}
	f.listener = serveOn(taken, &http.Server{
		Handler:           f,
		TLSConfig:         secure,
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      cfg.ReadTimeout + writeTimeout, // net/http counts it from the end of the header
		IdleTimeout:       cfg.IdleTimeout,
	}, log, pool.Serve)
	return f, nil
}

func (f *front) checks(all config.Checks) []checks.Check {
	if f.certificate == nil {
		return nil
	}
	return []checks.Check{ownCheck("tls", all, f.certificate.Check)}
}

// url is where the service is reached from its own machine.
func (f *front) url() string {
	scheme, host := "http", f.cfg.Host
	if f.certificate != nil {
		scheme = "https"
	}
	if slices.Contains([]string{"", "0.0.0.0", "::", "127.0.0.1", "::1"}, host) {
		host = "localhost"
	}
	return (&url.URL{Scheme: scheme, Host: net.JoinHostPort(host, strconv.Itoa(f.cfg.Port))}).String()
}

// ServeHTTP implements http.Handler. While draining, every answer closes its connection: the client's next one leads to
// another replica.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests.Add(1)
	defer f.requests.Add(-1)
	f.api.ServeHTTP(drainWriter{w, &f.draining}, r)
}

// drainWriter writes an answer of the front.
type drainWriter struct {
	http.ResponseWriter
	draining *atomic.Bool
}

// WriteHeader implements http.ResponseWriter. Gin calls it for each answer.
func (w drainWriter) WriteHeader(status int) {
	if w.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w drainWriter) Flush() { w.ResponseWriter.(http.Flusher).Flush() } // that of net/http and of a stream

// Unwrap is for http.ResponseController.
func (w drainWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// answerHeld is for the end of a start that failed. It stops serving, and returns when the requests that waited for a
// store have been answered 503, or after a second.
func (f *front) answerHeld(live *handlers.Live) {
	if f.draining.Load() {
		return
	}
	f.draining.Store(true)
	live.GiveUp()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	f.shutdown(ctx) // the caller has a better error
}

// shutdown stops listening, answers the requests that are under way, and closes all connections.
func (f *front) shutdown(ctx context.Context) error {
	f.pool.Drain(ctx)
	return f.server.Shutdown(ctx)
}

// serveUntil serves until ctx ends and drains then, or until the listener fails. It returns nil if the service was
// healthy and drained in time.
func (f *front) serveUntil(ctx context.Context, runner *checks.Runner) error {
	select {
	case <-f.ended:
		return fmt.Errorf("the listener failed: %w", f.err)
	case <-ctx.Done():
	}
	var outcome error
	switch health := runner.Settled(); {
	case !runner.WasReady():
		outcome = &exit{exitUnhealthy, fmt.Errorf("told to stop before it was ever ready: %s", unreadyReasons(health))}
	case !health.Healthy:
		outcome = &exit{exitUnhealthy, fmt.Errorf("told to stop while unhealthy: %s", unreadyReasons(health))}
	}
	f.log.Info("draining", "delay", f.cfg.DrainDelay.String(), "at_most", f.cfg.ShutdownTimeout.String())
	f.draining.Store(true)
	runner.Drain()
	time.Sleep(f.cfg.DrainDelay)
	deadline, cancel := context.WithTimeout(context.Background(), f.cfg.ShutdownTimeout)
	defer cancel()
	if err := f.shutdown(deadline); err != nil && outcome == nil && f.requests.Load() > 0 {
		err = fmt.Errorf("requests were still under way after http.shutdown_timeout %s: %w", f.cfg.ShutdownTimeout, err)
		outcome = &exit{exitCutShort, err}
	}
	return outcome
}

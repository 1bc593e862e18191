package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/sdnotify"
)

// component names this service in its health.
func component() checks.Component {
	return checks.Component{Name: "accountservice", Version: version}
}

// ended logs the end of serve, gives its error an exit code and keeps the reason for the next starts.
func ended(err error, cfg config.Store, log *slog.Logger) error {
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
	keepStop(cfg, known)
	return &exit{code: known.code}
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

// newSystemd returns the notifier of systemd, or nil without systemd. It asks for a minute for the start, and in
// addition for the longest wait for the lock of the database and, if the settings allow one, the longest restore.
func (i instance) newSystemd(stopping context.Context, environ []string) *sdnotify.Notifier {
	bolt := i.cfg.Store.Bolt
	limit := bolt.OpenTimeout + time.Minute
	if bolt.Restores() {
		limit += bolt.RestoreTimeout
	}
	return sdnotify.New(sdnotify.Options{Environ: environ, Health: i.live.Snapshot, StartLimit: limit, Stopping: stopping,
		Log: i.log})
}

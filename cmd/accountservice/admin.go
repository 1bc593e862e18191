package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"accountservice/config"
	"accountservice/internal/handlers"
)

// adminTimeout bounds an answer to an operator; a profile may take a minute.
const adminTimeout = 2 * time.Minute

// admin is the listener for operators, or nil if there is none. It serves from
// before the database is opened until it is closed.
type admin struct{ server *http.Server }

// listenAdmin takes the address and serves operators on it.
func listenAdmin(cfg config.Admin, options handlers.AdminOptions, log *slog.Logger) (*admin, error) {
	if cfg.Off() {
		return nil, nil
	}
	listener, err := net.Listen("tcp", cfg.Addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("admin.addr %s is taken by another process; set it to another address, or to off: %w", cfg.Addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on admin.addr %s: %w", cfg.Addr, err)
	}
	a := &admin{}
	a.server = &http.Server{
		Handler:           handlers.NewAdmin(options),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      adminTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,

		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	log.Info("operators are served", "admin.addr", listener.Addr().String())
	go a.server.Serve(listener)
	return a, nil
}

func (a *admin) close() {
	if a != nil {
		a.server.Close()
	}
}

// newRegistry holds what is known of the process before anything is opened.
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

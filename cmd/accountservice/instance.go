package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"accountservice/config"
	"accountservice/internal/auth"
	"accountservice/internal/handlers"
)

// instance is one run of the service: what its parts have in common.
type instance struct {
	cfg     config.Config
	log     *slog.Logger
	lines   *logQueue    // what the log writes to
	tokens  *auth.Tokens // nil if none are asked for
	live    *handlers.Live
	metrics *prometheus.Registry
}

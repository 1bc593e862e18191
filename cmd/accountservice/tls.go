package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"

	"accountservice/config"
	"accountservice/internal/certificate"
	"accountservice/internal/checks"
)

// tlsVersions are those that http.tls.min_version can be.
var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// loadCertificate returns the certificate and the configuration of TLS, or nil without a certificate.
func loadCertificate(cfg config.TLS, log *slog.Logger) (*certificate.Pair, *tls.Config, error) {
	if !cfg.On() {
		return nil, nil, nil
	}
	pair, err := certificate.Load(cfg.CertPath, cfg.KeyPath, log)
	if err != nil {
		return nil, nil, fmt.Errorf("http.tls.cert_path, http.tls.key_path: %w", err)
	}
	return pair, &tls.Config{MinVersion: tlsVersions[cfg.MinVersion], GetCertificate: pair.Get}, nil
}

// certificateFaults is a config.Rule. A certificate that has ended is no fault: a service that ran with it must be able
// to start again.
func certificateFaults(cfg config.Config) map[string]error {
	paths := cfg.HTTP.TLS
	if !paths.On() {
		return nil
	}
	if _, err := certificate.Load(paths.CertPath, paths.KeyPath, nil); err != nil {
		return map[string]error{"http.tls.cert_path": fmt.Errorf("can't be used: %w", err)}
	}
	return nil
}

// withCertificate adds a warning of a certificate that ends soon. One that has ended is an error.
func withCertificate(warnings []string, cfg config.TLS) ([]string, error) {
	if !cfg.On() {
		return warnings, nil
	}
	pair, err := certificate.Load(cfg.CertPath, cfg.KeyPath, slog.New(slog.DiscardHandler))
	if err == nil {
		err = pair.Check(context.Background())
	}
	if soon, is := errors.AsType[checks.Warner](err); is {
		return append(warnings, "http.tls.cert_path: "+soon.Warning()), nil
	}
	if err != nil {
		err = &exit{exitUsage, fmt.Errorf("http.tls.cert_path: %w", err)}
	}
	return warnings, err
}

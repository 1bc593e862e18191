package main

import (
	"context"
	"log/slog"
	"strings"

	"accountservice/config"
	"accountservice/internal/auth"
	"accountservice/internal/checks"
	"accountservice/internal/warning"
)

// openTokens returns the tokens that the configuration asks for, or nil if it asks for none.
func openTokens(cfg config.Auth, log *slog.Logger) (*auth.Tokens, error) {
	if cfg.Mode != "tokens" {
		return nil, nil
	}
	tokens, err := auth.Open(cfg.TokensPath, log)
	if err != nil {
		return nil, &exit{exitUsage, err}
	}
	return tokens, nil
}

// openToAll warns that the service asks for no tokens, and says what others can do with it. It is nil if only this
// machine reaches the service.
func openToAll(cfg config.Config) error {
	var what []string
	if cfg.Auth.Mode == "tokens" {
		return nil
	}
	if !cfg.HTTP.Loopback() {
		what = append(what, "read and change all accounts (http.host "+cfg.HTTP.Host+")")
	}
	if !cfg.Admin.Loopback() {
		what = append(what, "take profiles and send the traffic away (admin.addr "+cfg.Admin.Addr+")")
	}
	if what == nil {
		return nil
	}
	return warning.Errorf("auth.mode is none: whoever reaches this service may %s; see docs/security.md",
		strings.Join(what, ", and "))
}

// authChecks has the check of the tokens, or of a service that others reach without tokens.
func authChecks(tokens *auth.Tokens, cfg config.Config) []checks.Check {
	open := openToAll(cfg)
	switch {
	case tokens != nil:
		return []checks.Check{ownCheck("auth", cfg.Checks, tokens.Check)}
	case open != nil:
		return []checks.Check{ownCheck("auth", cfg.Checks, func(context.Context) error { return open })}
	}
	return nil
}

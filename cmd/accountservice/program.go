package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/mattn/go-isatty"

	"accountservice/config"
	"accountservice/internal/client"
)

// version is set by the linker.
var version = "dev"

// Exit codes, as the package comment says.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2
	exitUnhealthy = 3
	exitCutShort  = 4
)

// exit is an error with the exit code of the process.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

// program is what every command gets.
type program struct {
	load           func() (config.Loaded, error) // its error is an exit
	environ        []string
	stdout, stderr io.Writer
}

// failed prints the error of the command with this name and returns it with its
// exit code.
func (p program) failed(ctx context.Context, name string, err error) error {
	var known *exit
	switch {
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		fmt.Fprintf(p.stderr, "accountservice %s: told to stop before it was done: %v\n", name, err)
		return &exit{exitCutShort, err}
	}
	fmt.Fprintf(p.stderr, "accountservice %s: %v\n", name, err)
	return &exit{exitFailed, err}
}

const urlHelp = "of a running service, such as http://localhost:6767; default: the file of store.bolt.path"

// newClient returns a client of the service that --url names.
func newClient(url string) (*client.Client, error) {
	service, err := client.New(url)
	if err != nil {
		return nil, &exit{exitUsage, fmt.Errorf("--url: %w", err)}
	}
	return service, nil
}

// newLogger writes to w: with the format auto, text for a terminal and else JSON.
func newLogger(cfg config.Log, w io.Writer, terminal bool) *slog.Logger {
	var level slog.LevelVar
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		panic(err) // config accepts only the names of levels
	}
	opts := &slog.HandlerOptions{Level: &level}
	if cfg.Format == "text" || cfg.Format == "auto" && terminal {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// limitMemory gives the Go runtime nine tenths of the container's memory limit,
// unless GOMEMLIMIT is set, and returns the limit in force and its origin. The
// rest is for the database's mapped pages, which the kernel can take back.
func limitMemory() string {
	limit, err := memlimit.Set()
	switch _, set := os.LookupEnv("GOMEMLIMIT"); {
	case err != nil:
		return fmt.Sprintf("none (the container's limit could not be read: %v)", err)
	case set:
		return fmt.Sprintf("%d bytes (from GOMEMLIMIT)", limit)
	case limit == math.MaxInt64:
		return "none (the container has no memory limit)"
	}
	return fmt.Sprintf("%d bytes (nine tenths of the container's limit)", limit)
}

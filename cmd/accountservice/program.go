package main

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

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
	err  error // what to print, nil if all is said
}

func (e *exit) Error() string { return fmt.Sprint("exit code ", e.code, ": ", e.err) }
func (e *exit) Unwrap() error { return e.err }

// program is what every command gets.
type program struct {
	load           func() (config.Loaded, error) // its error is an exit
	environ        []string
	stdout, stderr io.Writer
}

// oneArgument wants one argument of a command, which is what.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("name %s, and nothing else: %s", what, cmd.UseLine())
		}
		return nil
	}
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

// limitMemory gives the Go runtime nine tenths of the container's memory limit, unless GOMEMLIMIT is set. The rest is
// for the database's mapped pages, which the kernel can take back. It returns the limit in force, which without a
// container is the machine's memory, and its origin.
func limitMemory() (bytes int64, origin string) {
	limit, err := memlimit.Set()
	switch _, set := os.LookupEnv("GOMEMLIMIT"); {
	case err == nil && set && limit < math.MaxInt64:
		return limit, fmt.Sprintf("%d bytes (from GOMEMLIMIT)", limit)
	case err == nil && !set && limit < math.MaxInt64:
		return limit, fmt.Sprintf("%d bytes (nine tenths of the container's limit)", limit)
	case err != nil:
		origin = fmt.Sprintf("none (the container's limit could not be read: %v)", err)
	default:
		origin = "none (the container has no memory limit)"
	}
	machine, err := memlimit.FromSystem()
	if err != nil {
		machine = 1 << 30
	}
	return int64(min(machine, math.MaxInt64)), origin
}

// enoughThreads is how many threads the service may come to need. Go ends a process that gets none.
const enoughThreads = 64

// tooFewThreads returns the container's limit of threads if it is lower than enoughThreads.
func tooFewThreads(cgroups string) (limit int, few bool) {
	for _, file := range []string{"pids.max", "pids/pids.max"} { // of cgroup v2 and v1; "max" is no limit
		text, _ := os.ReadFile(filepath.Join(cgroups, file))
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && n < enoughThreads {
			return n, true
		}
	}
	return 0, false
}

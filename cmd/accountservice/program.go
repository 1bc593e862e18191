package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"accountservice/config"
)

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
	load           func(...config.Rule) (config.Loaded, error) // its error is an exit
	environ        []string
	stdout, stderr io.Writer
}

func (p program) variable(name string) (value string) {
	for _, variable := range p.environ {
		if text, is := strings.CutPrefix(variable, name+"="); is {
			value = text // the last one is in force
		}
	}
	return value
}

// oneArgument wants one argument of a command, which its error calls what.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("name %s, and nothing else: %s", what, cmd.UseLine())
		}
		return nil
	}
}

// noArguments wants no argument of a command.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("no argument is taken: %q", args[0])
	}
	return nil
}

// newLogger writes to w: with the format auto, text for a terminal and else JSON. Durations have units in both. Its
// level can be changed.
func newLogger(cfg config.Log, w io.Writer, terminal bool) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		panic(err) // config accepts only the names of levels
	}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // JSON would have a number of nanoseconds
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}}
	if cfg.Format == "text" || cfg.Format == "auto" && terminal {
		return slog.New(slog.NewTextHandler(w, opts)), level
	}
	return slog.New(slog.NewJSONHandler(w, opts)), level
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// unlimited is said of memory that nothing limits: no container, one without a limit, or a system without cgroups.
const unlimited = "none"

// limitMemory gives the Go runtime nine tenths of the container's memory limit, unless GOMEMLIMIT is set. The rest is
// for the database's mapped pages, which the kernel can take back. It returns the limit in force, which without any is
// the machine's memory, and its origin. The origin is unlimited where nothing limits the memory.
func limitMemory() (bytes int64, origin string) {
	limit, err := memlimit.Set()
	none := err == nil || errors.Is(err, memlimit.ErrNoLimit) || errors.Is(err, memlimit.ErrNoCgroup) ||
		errors.Is(err, memlimit.ErrCgroupsNotSupported)
	switch _, set := os.LookupEnv("GOMEMLIMIT"); {
	case err == nil && set && limit < math.MaxInt64:
		return limit, fmt.Sprintf("%d bytes (from GOMEMLIMIT)", limit)
	case err == nil && !set && limit < math.MaxInt64:
		return limit, fmt.Sprintf("%d bytes (nine tenths of the container's limit)", limit)
	case !none:
		origin = fmt.Sprintf("none (the container's limit could not be read: %v)", err)
	default:
		origin = unlimited
	}
	machine, err := memlimit.FromSystem()
	if err != nil {
		machine = 1 << 30
	}
	return int64(min(machine, math.MaxInt64)), origin
}

// leaveRoomForFlushes lets Go run two goroutines at once where it would run one, unless GOMAXPROCS is set. A thread that
// waits for the disk keeps its turn for up to 10 ms, and on a single CPU nothing else would run meanwhile: under load,
// /health was answered after 300 ms.
func leaveRoomForFlushes() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
}

// enoughThreads is the most threads that the service, its probe and the engine's helper for the probe need together.
// Go's runtime ends a process that gets no thread.
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

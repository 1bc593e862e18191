package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

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

// exit is an error that ends the process with a code of its own.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

// run is the program: what it is told, where it speaks, how it ends.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if v := recover(); v != nil { // Go's own exit code for it means something else here
			fmt.Fprintf(stderr, "accountservice: panic: %v\n%s", v, debug.Stack())
			code = exitFailed
		}
	}()
	root := newCommand(environ, stdout, stderr)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var known *exit
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &known): // cobra's own, of the command line
		fmt.Fprintf(stderr, "accountservice: %v\nSee accountservice --help.\n", err)
		return exitUsage
	case known.code == exitUsage:
		fmt.Fprintln(stderr, err)
	}
	return known.code
}

// newCommand is the command line: alone it serves.
func newCommand(environ []string, stdout, stderr io.Writer) *cobra.Command {
	var file string
	load := func() (config.Loaded, error) {
		cfg, err := config.Load(file, environ, unusableURLs)
		if err != nil {
			return cfg, &exit{exitUsage, err}
		}
		return cfg, nil
	}
	root := &cobra.Command{
		Use:   "accountservice",
		Short: "Keeps accounts and tells the truth about its own health",
		Long: "Keeps accounts and tells the truth about its own health. Without a command it serves.\n" +
			"Every setting has a variable, ACCOUNTSERVICE_ and its key; see accountservice config docs.",
		Version: version, SilenceUsage: true, SilenceErrors: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			log := newLogger(cfg.Log, stderr)
			slog.SetDefault(log) // libraries that speak by themselves speak through it
			for _, warning := range cfg.Warnings {
				log.Warn("configuration", "warning", warning)
			}
			for _, key := range cfg.Hidden {
				log.Info("configuration: a key of the file has no effect", "key", key)
			}
			return serve(cmd.Context(), cfg.Config, environ, log)
		},
	}
	root.PersistentFlags().StringVar(&file, "config", "", "configuration file; default $ACCOUNTSERVICE_CONFIG, or none")
	root.AddCommand(newConfigCommand(load, stdout))
	root.AddCommand(newVerifyCommands(stdout)...)
	root.AddCommand(newImportCommand(load, stdout, stderr), newExportCommand(load, stdout, stderr))
	return root
}

// newConfigCommand shows and checks settings; it opens no port and creates no file.
func newConfigCommand(load func() (config.Loaded, error), stdout io.Writer) *cobra.Command {
	group := &cobra.Command{Use: "config", Short: "Check, print or explain the configuration", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	group.AddCommand(&cobra.Command{
		Use: "check", Short: "Say every fault of file and environment; exit 0 or 2", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := load()
			for _, warning := range cfg.Warnings {
				fmt.Fprintln(stdout, "warning:", warning)
			}
			if err == nil {
				fmt.Fprintln(stdout, "configuration is valid")
			}
			return err
		},
	})
	var format string
	show := &cobra.Command{
		Use: "print", Short: "Print every value and where it came from; secrets are masked", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			cfg.Notes = append(cfg.Notes, "memory limit of the Go runtime: "+limitMemory())
			return cfg.Print(stdout, format)
		},
	}
	show.Flags().StringVar(&format, "format", "yaml", "yaml, json or env")
	group.AddCommand(show, &cobra.Command{
		Use: "docs", Short: "Print the table of all settings as Markdown", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return config.Docs(stdout) },
	})
	return group
}

// newLogger writes to w as told; auto is text for a person, JSON for a machine.
func newLogger(cfg config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		panic(err) // config lets only its words pass
	}
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "text" || cfg.Format == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"log/slog"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"accountservice/config"
)

// run is the program: it takes all that the process gets and returns its exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if v := recover(); v != nil { // Go's exit code of a panic is 2, which means usage here
			fmt.Fprintf(stderr, "accountservice: panic: %v\n%s", v, debug.Stack())
			code = exitFailed
		}
	}()
	root := newRootCommand(environ, stdout, stderr)
	begun := false // cobra takes the command line as right
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		err := refuseEmpty(cmd)
		begun = err == nil
		return err
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	refuseUnknownTopics(root)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !begun {
		fmt.Fprintf(stderr, "%s: %v\nSee %[1]s --help.\n", cmd.CommandPath(), err)
		return exitUsage
	}
	code, why := exitCode(ctx, cmd.CommandPath(), err)
	if why != "" {
		fmt.Fprintln(stderr, why)
	}
	return code
}

// refuseEmpty refuses an empty value of a flag that may be left out: a variable of the shell that is not set would have
// the command take the default, such as the database of the configuration in place of a service.
func refuseEmpty(cmd *cobra.Command) error {
	for _, name := range []string{"config", "output", "rate", "salvage", "to", "token-file", "url"} {
		if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed && flag.Value.String() == "" {
			return fmt.Errorf("--%s is empty: give it a value, or leave it out", name)
		}
	}
	return nil
}

// exitCode returns the exit code of a command that ended with err, and what to print.
func exitCode(ctx context.Context, command string, err error) (code int, why string) {
	var known *exit
	var file *fs.PathError
	var faults config.Faults
	unread := errors.As(err, &file) && errors.Is(file.Err, syscall.EPIPE) // what reads the output wants no more of it
	switch {
	case err == nil:
		return exitOK, ""
	case errors.As(err, &known) && (known.err == nil || unread):
		return known.code, ""
	case errors.As(err, &known) && errors.As(err, &faults): // a line each, which names its setting
		return known.code, faults.Error()
	case errors.As(err, &known):
		return known.code, fmt.Sprintf("%s: %v", command, known.err)
	case unread:
		return exitFailed, ""
	case ctx.Err() != nil:
		return exitCutShort, fmt.Sprintf("%s: told to stop before it was done: %v", command, err)
	}
	return exitFailed, fmt.Sprintf("%s: %v", command, err)
}

// newRootCommand is the command line. Without a command the program serves.
func newRootCommand(environ []string, stdout, stderr io.Writer) *cobra.Command {
	var file string
	p := program{environ: environ, stdout: stdout, stderr: stderr}
	p.load = func(rules ...config.Rule) (config.Loaded, error) {
		cfg, err := config.Load(file, environ, append(rules, postgresFault, backupFault)...)
		if err != nil {
			return cfg, &exit{exitUsage, err}
		}
		return cfg, nil
	}
	root := &cobra.Command{
		Use:   "accountservice",
		Short: "Keeps accounts and tells the truth about its own health",
		Long: "Keeps accounts and tells the truth about its own health. Without a command it serves.\n" +
			"Every setting has an environment variable: ACCOUNTSERVICE_ and its key. See accountservice config docs.",
		Version: version, SilenceUsage: true, SilenceErrors: true, Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.serve(cmd.Context()) },
	}
	root.PersistentFlags().StringVar(&file, "config", "", "configuration file; default $ACCOUNTSERVICE_CONFIG, or none")
	root.AddCommand(newConfigCommand(p), newVerifyCommand(p), newImportCommand(p), newExportCommand(p), newBackupCommand(p),
		newTokenCommand(p), newMigrateCommand(p), newCompactCommand(p), newRestoreCommand(p),
		newStatusCommand(p), newMaintenanceCommand(p), newVersionCommand(p), newLicensesCommand(p))
	return root
}

// loadForService also checks what only the service uses. The other commands do not: a certificate or a header_file that
// is damaged must keep nobody from a backup or a restore.
func (p program) loadForService() (config.Loaded, error) {
	return p.load(certificateFaults, func(cfg config.Config) map[string]error {
		_, faults := dependencyChecks(cfg)
		return faults
	})
}

// serve loads the configuration, reports what is odd in it, and serves.
func (p program) serve(ctx context.Context) error {
	cfg, err := p.loadForService()
	if err != nil {
		return err
	}
	lines := newLogQueue(p.stderr)
	defer lines.close(closeTimeout)
	log, level := newLogger(cfg.Log, lines, isTerminal(p.stderr))
	slog.SetDefault(log)         // for libraries that log by themselves
	stdlog.SetOutput(io.Discard) // net/http writes there what a dependency sends without being asked
	for _, warning := range cfg.Warnings {
		log.Warn("configuration", "warning", warning)
	}
	for _, key := range cfg.Hidden {
		log.Info("configuration: a key of the file has no effect", "key", key)
	}
	return serve(ctx, cfg.Config, p.environ, lines, log, level)
}

// newConfigCommand checks and prints settings. It opens no port and creates no file.
func newConfigCommand(p program) *cobra.Command {
	var ask bool
	check := &cobra.Command{
		Use: "check", Short: "Report every fault of file and environment; exit 0 or 2, with --ask also 1", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.checkConfig(cmd.Context(), ask) },
	}
	check.Flags().BoolVar(&ask, "ask", false, "also ask each dependency once, from here; exit 1 if one fails")
	var format string
	show := &cobra.Command{
		Use: "print", Short: "Print every value and where it came from; secrets are masked", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := p.loadForService()
			if err != nil {
				return err
			}
			_, memory := limitMemory()
			cfg.Notes = append(cfg.Notes, "memory limit of the Go runtime: "+memory)
			var text bytes.Buffer
			if err := cfg.Print(&text, format); err != nil {
				return &exit{exitUsage, err}
			}
			_, err = text.WriteTo(p.stdout)
			return err
		},
	}
	show.Flags().StringVar(&format, "format", "yaml", "yaml, json or env")
	docs := &cobra.Command{
		Use: "docs", Short: "Print the table of all settings as Markdown", Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return config.Docs(p.stdout) },
	}
	return newGroup("config", "Check, print or explain the configuration", check, show, docs)
}

// checkConfig prints the warnings of the configuration and whether it is valid. If ask is true, it then asks each
// dependency once.
func (p program) checkConfig(ctx context.Context, ask bool) error {
	cfg, err := p.loadForService()
	if err == nil {
		if open := openToAll(cfg.Config); open != nil {
			cfg.Warnings = append(cfg.Warnings, open.Error())
		}
		cfg.Warnings, err = withCertificate(cfg.Warnings, cfg.HTTP.TLS)
	}
	for _, warning := range cfg.Warnings {
		fmt.Fprintln(p.stdout, "warning:", warning)
	}
	if err != nil {
		return err
	}
	if _, err := openTokens(cfg.Auth, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(p.stdout, "configuration is valid"); err != nil || !ask {
		return err
	}
	list, _ := dependencyChecks(cfg.Config) // loadForService has reported the faults
	return askEach(ctx, p.stdout, list)
}

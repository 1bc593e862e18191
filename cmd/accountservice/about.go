package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"accountservice"
)

// stamped is the version that the linker was given.
var stamped string

// version is that of this program: what the linker was given, or what Go knows of the module, or dev.
var version = versionOf(stamped, debug.ReadBuildInfo)

func versionOf(stamped string, build func() (*debug.BuildInfo, bool)) string {
	if stamped != "" {
		return stamped
	}
	if info, known := build(); known && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

func newVersionCommand(p program) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.stdout, "accountservice version", version)
			return err
		},
	}
}

func newLicensesCommand(p program) *cobra.Command {
	return &cobra.Command{
		Use: "licenses", Short: "Print the licence, and those of the software of others in the program", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if _, err := io.WriteString(p.stdout, accountservice.License+"\n"); err != nil {
				return err
			}
			return accountservice.WriteThirdParty(p.stdout)
		},
	}
}

// refuseUnknownTopics makes an unknown word after help or completion an error: Cobra prints a help instead and succeeds,
// and a script would take that for the completion. Cobra's completion writes to the output that root has now.
func refuseUnknownTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Args = func(_ *cobra.Command, topic []string) error {
				found, rest, err := root.Find(topic)
				if err != nil {
					return err
				}
				return noSuchCommand(found, rest)
			}
		case "completion":
			cmd.Args, cmd.RunE = noSuchCommand, showHelp
		}
	}
}

// newGroup groups commands and does nothing itself.
func newGroup(name, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: name, Short: short, Args: noSuchCommand, RunE: showHelp}
	group.AddCommand(commands...)
	return group
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// noSuchCommand refuses arguments of a command that only groups others, and names those that are spelled alike.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q%s", args[0], hint)
}

package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// usageOf runs the program with arguments that it must refuse. The test fails unless the error begins with the name of
// the command.
func usageOf(t *testing.T, name string, environ []string, args ...string) {
	t.Helper()
	r := here(t, environ, args...)
	if r.Code != exitUsage || r.Stdout != "" || !strings.HasPrefix(r.Stderr, name+": ") || strings.Count(r.Stderr, name+":") != 1 {
		t.Errorf("%q: %+v; want 2 and one line that begins with %s", args, r, name)
	}
}

// commands returns the command and all below it.
func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, child := range cmd.Commands() {
		all = append(all, commands(child)...)
	}
	return all
}

func TestRefusedArgumentsNameTheirCommand(t *testing.T) {
	all := commands(newRootCommand(nil, nil, nil))
	if len(all) < 20 {
		t.Errorf("there are only %d commands", len(all))
	}
	for _, cmd := range all {
		path := strings.Fields(cmd.CommandPath())[1:]
		usageOf(t, cmd.CommandPath(), nil, append(path, "--no-such-flag")...)
		usageOf(t, cmd.CommandPath(), nil, append(path, "a", "b", "c")...)
	}
}

func TestRefusedValuesNameTheirCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	postgres := []string{"ACCOUNTSERVICE_STORE_DRIVER=postgres", "ACCOUNTSERVICE_STORE_POSTGRES_URL=postgres://u:p@a/b"}
	bothTokens := []string{"ACCOUNTSERVICE_TOKEN=a", "ACCOUNTSERVICE_TOKEN_FILE=b"}
	for _, c := range []struct {
		name    string
		environ []string
		args    string // after the name of the command
	}{
		{"accountservice config print", nil, "--format xml"},
		{"accountservice token create", nil, "--name a --scopes sing"},
		{"accountservice verify", nil, "--format xml file"},
		{"accountservice verify", nil, "none.db"},
		{"accountservice export", nil, "--salvage a --url http://localhost"},
		{"accountservice export", nil, "--url localhost"},
		{"accountservice import", nil, "--url= /dev/null"},
		{"accountservice import", nil, "--url http://localhost --token-file= /dev/null"},
		{"accountservice export", nil, "--output="},
		{"accountservice export", nil, "--salvage="},
		{"accountservice backup", []string{"ACCOUNTSERVICE_BACKUP_TO=/nowhere"}, "--to="},
		{"accountservice token create", nil, "--name a --scopes read --rate="},
		{"accountservice config check", nil, "--config="},
		{"accountservice import", bothTokens, "--url http://localhost /dev/null"},
		{"accountservice backup", nil, ""},
		{"accountservice backup", postgres, "--to a"},
		{"accountservice backup", nil, "--to s3:/b"},
		{"accountservice restore", nil, "s3:///b"},
		{"accountservice restore", postgres, "a"},
		{"accountservice migrate up", nil, ""},
		{"accountservice migrate status", nil, ""},
		{"accountservice status", nil, "localhost"},
		{"accountservice maintenance show", nil, "localhost"},
		{"accountservice maintenance on", []string{"ACCOUNTSERVICE_ADMIN_ADDR=off"}, "--reason a"},
	} {
		usageOf(t, c.name, c.environ, append(strings.Fields(c.name)[1:], strings.Fields(c.args)...)...)
	}
}

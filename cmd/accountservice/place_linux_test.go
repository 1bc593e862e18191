package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"accountservice/tests/harness"
)

// terminal returns a terminal that takes what is written to it.
func terminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	harness.Must(t, err)
	t.Cleanup(func() { master.Close() })
	harness.Must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	harness.Must(t, err)
	f, err := os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	harness.Must(t, err)
	t.Cleanup(func() { f.Close() })
	go func() { // until the end of the test
		for b := make([]byte, 4096); err == nil; {
			_, err = master.Read(b)
		}
	}()
	return f
}

func TestBackupIsNotWrittenToATerminal(t *testing.T) {
	t.Parallel()
	cmd := command(leftBehind(t), "backup", "--to", "-")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = terminal(t), &stderr
	cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(stderr.String(), "redirect it to a file or a pipe") {
		t.Errorf("exit %d, %q", code, &stderr)
	}
}

func TestBackupToOfTheConfigurationIsNeverTakenForAFile(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "mount")
	runs(t, with(command(leftBehind(t), "backup"), "ACCOUNTSERVICE_BACKUP_TO="+missing)).is(t, 1, "", "accountservice backup: backup.to "+missing+": ")
	absent(t, missing)
}

func TestNoCommandReplacesADatabaseByItsOwnCopy(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), anyAdmin)
	stopped := leftBehind(t)
	link := filepath.Join(t.TempDir(), "link.db")
	harness.Must(t, os.Link(stopped, link))
	another := ready(t, newPath(t)).Path
	for _, c := range []struct {
		path string
		args []string
		says string
	}{
		{p.Path, []string{"backup", "--url", p.Admin(t), "--to", p.Path}, "accountservice backup: --to " + p.Path + ": is the database"},
		{p.Path, []string{"backup", "--url", p.Admin(t), "--to", p.Path + ".witness"}, "or its witness"},
		{stopped, []string{"backup", "--to", stopped}, "is the database"},
		{stopped, []string{"backup", "--to", link}, "is the database"},
		{stopped, []string{"backup", "--to", another}, "a process has this file open"},
		{p.Path, []string{"export", "--url", p.URL, "--output", p.Path}, "accountservice export: --output " + p.Path + " is the database"},
		{stopped, []string{"export", "--output", stopped + ".witness"}, "or its witness"},
		{"", []string{"export", "--salvage", stopped, "--output", stopped}, "is the database"},
	} {
		target := c.args[len(c.args)-1]
		before, err := os.Stat(target)
		harness.Must(t, err)
		runs(t, command(c.path, c.args...)).is(t, 2, "", c.says)
		if after, err := os.Stat(target); err != nil || !os.SameFile(before, after) {
			t.Errorf("%q replaced it: %v", c.args, err)
		}
	}
}

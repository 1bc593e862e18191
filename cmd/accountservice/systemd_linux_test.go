package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// systemdHeard waits until the lines that systemd was told are so, and returns them.
func systemdHeard(t *testing.T, socket *harness.NotifySocket, so func(lines []string) bool) (lines []string) {
	t.Helper()
	if !harness.Until(30*time.Second, func() bool {
		for _, datagram := range socket.Received(t) {
			lines = append(lines, strings.Split(datagram, "\n")...)
		}
		return so(lines)
	}) {
		t.Fatalf("systemd was told no more than %q", lines)
	}
	return lines
}

// hasLine returns a test that is true if lines have this one.
func hasLine(line string) func([]string) bool {
	return func(lines []string) bool { return slices.Contains(lines, line) }
}

// lastStatus returns the index of the last STATUS=, or -1.
func lastStatus(lines []string) int {
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "STATUS=") {
			return i
		}
	}
	return -1
}

// systemd is told what /health says: an unhealthy service sends no WATCHDOG=1, and READY=1 is sent only once.
func TestSickServiceDoesNotFeedTheWatchdogOfSystemd(t *testing.T) {
	t.Parallel()
	socket := harness.NewNotifySocket(t, "")
	p := start(t, newPath(t), append(quick, "NOTIFY_SOCKET="+socket.Name, "WATCHDOG_USEC=400000")...)
	told := systemdHeard(t, socket, hasLine("READY=1"))
	if want := "EXTEND_TIMEOUT_USEC=65000000"; told[0] != want {
		t.Errorf("told %q, want %s first", told, want)
	}
	systemdHeard(t, socket, hasLine("WATCHDOG=1"))
	harness.Must(t, os.Truncate(p.Path, 8192))
	harness.WaitFor(t, 30*time.Second, "the fault in /health", func() bool {
		bolt := p.Health().Checks["bolt"]
		return bolt.Status == "failing" && strings.Contains(bolt.Error, "is cut short") // for good
	})
	told = systemdHeard(t, socket, func(lines []string) bool {
		i := lastStatus(lines)
		return i >= 0 && strings.HasPrefix(lines[i], "STATUS=Unavailable: bolt (restart)")
	})
	told = told[lastStatus(told):]
	sick := p.Health().Timestamp
	harness.WaitFor(t, 30*time.Second, "a later /health", func() bool { return p.Health().Timestamp.Sub(sick) > 2*time.Second })
	p.Stop(t, 3)
	told = append(told, systemdHeard(t, socket, hasLine("STOPPING=1"))...)
	if slices.Contains(told, "WATCHDOG=1") || slices.Contains(told, "READY=1") {
		t.Errorf("a sick service told systemd %q", told)
	}
}

// A service that cannot open its database yet sends no READY=1, and asks for the time that a restore may take.
func TestStartIsReadyForSystemdWithItsDatabase(t *testing.T) {
	t.Parallel()
	first := ready(t, newPath(t))
	socket := harness.NewNotifySocket(t, "")
	p := start(t, first.Path, "NOTIFY_SOCKET="+socket.Name, "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=60s",
		"ACCOUNTSERVICE_STORE_BOLT_CREATE=restore", "ACCOUNTSERVICE_BACKUP_TO="+t.TempDir())
	p.Says(t, "/health", "another process holds")
	told := systemdHeard(t, socket, hasLine("STATUS=Unavailable: starting"))
	if want := "EXTEND_TIMEOUT_USEC=1020000000"; told[0] != want || hasLine("READY=1")(told) { // a minute, open_timeout and restore_timeout
		t.Errorf("told %q, want %s first, and not that it is ready", told, want)
	}
	first.Stop(t, 0)
	p.Await(t, "/health", 200)
	systemdHeard(t, socket, hasLine("READY=1"))
	p.Stop(t, 0)
	systemdHeard(t, socket, hasLine("STOPPING=1"))
}

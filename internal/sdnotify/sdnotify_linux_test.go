package sdnotify

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/checks"
	"accountservice/tests/harness"
)

var (
	starting = checks.Pending{Reason: "opening /secret/accounts.db"}.Snapshot()
	well     = snapshot("OK", checks.OK)
	ill      = snapshot("Unavailable", checks.Failing)
)

func snapshot(word string, bolt checks.Status) *checks.Snapshot {
	return &checks.Snapshot{Status: word, Healthy: bolt == checks.OK, Checks: []checks.CheckHistory{{CheckState: checks.CheckState{
		Name: "bolt", Status: bolt, OnFailure: checks.Restart, Error: "/secret/accounts.db is cut"}}}}
}

// told is a running Notifier, in a synctest bubble.
type told struct {
	*harness.NotifySocket
	t      *testing.T
	health atomic.Pointer[checks.Snapshot]
	stop   context.CancelFunc // tells the service to stop
	end    context.CancelFunc // ends Run
	ended  chan struct{}
	log    harness.Buffer
}

// tell runs a Notifier of a service that is in this health and whose watchdog waits for 20 s.
func tell(t *testing.T, socket *harness.NotifySocket, health *checks.Snapshot, limit time.Duration, environ ...string) *told {
	d := &told{NotifySocket: socket, t: t, ended: make(chan struct{})}
	d.health.Store(health)
	stopping, stop := context.WithCancel(t.Context())
	ctx, end := context.WithCancel(t.Context())
	d.stop, d.end = stop, end
	n := New(Options{Environ: append(environ, "NOTIFY_SOCKET="+socket.Name, "WATCHDOG_USEC=20000000"), Health: d.health.Load,
		StartLimit: limit, Stopping: stopping, Log: slog.New(slog.NewTextHandler(&d.log, nil))})
	go func() { defer close(d.ended); n.Run(ctx) }()
	return d
}

// after lets time pass and returns what was sent in it.
func (d *told) after(wait time.Duration) []string {
	d.t.Helper()
	time.Sleep(wait)
	synctest.Wait()
	return d.Received(d.t)
}

// is fails the test if other datagrams were sent.
func is(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestServiceIsReadyOnceAndFedWhileHealthy(t *testing.T) {
	for name, socket := range map[string]string{"abstract": "", "of the file system": t.TempDir() + "/notify"} {
		t.Run(name, func(t *testing.T) {
			notified := harness.NewNotifySocket(t, socket)
			synctest.Test(t, func(t *testing.T) {
				d := tell(t, notified, starting, 16*time.Minute)
				is(t, d.after(time.Minute), "EXTEND_TIMEOUT_USEC=960000000", "STATUS=Unavailable: starting")
				d.health.Store(well)
				is(t, d.after(lookEvery), "STATUS=OK\nREADY=1\nWATCHDOG=1")
				is(t, d.after(30*time.Second), "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1")
				d.health.Store(ill)
				is(t, d.after(time.Hour), "STATUS=Unavailable: bolt (restart)")
				d.health.Store(well) // nobody has restarted it: it is fed at once
				is(t, d.after(lookEvery), "STATUS=OK\nWATCHDOG=1")
				d.health.Store(ill)
				is(t, d.after(9*time.Second), "STATUS=Unavailable: bolt (restart)")
				d.health.Store(well)
				is(t, d.after(500*time.Millisecond), "STATUS=OK")
				is(t, d.after(500*time.Millisecond), "WATCHDOG=1")
				d.stop()
				is(t, d.after(time.Hour), "STOPPING=1\nSTATUS=draining")
				<-d.ended
			})
		})
	}
}

func TestSickServiceIsNotFedWhenItStarts(t *testing.T) {
	socket := harness.NewNotifySocket(t, "")
	synctest.Test(t, func(t *testing.T) {
		d := tell(t, socket, ill, 0)
		is(t, d.after(time.Hour), "STATUS=Unavailable: bolt (restart)")
		d.end() // by an error, and not by an order
		<-d.ended
		is(t, d.after(0))
	})
}

func TestOrderToStopIsToldAlsoIfRunEndsAtOnce(t *testing.T) {
	socket := harness.NewNotifySocket(t, "")
	synctest.Test(t, func(t *testing.T) {
		d := tell(t, socket, starting, 0)
		d.after(0)
		d.stop()
		d.end()
		<-d.ended
		is(t, d.after(0), "STOPPING=1\nSTATUS=draining")
	})
}

func TestWatchdogOfAnotherProcessIsNotFed(t *testing.T) {
	for pid, fed := range map[int]bool{os.Getpid(): true, os.Getpid() + 1: false} {
		socket := harness.NewNotifySocket(t, "")
		synctest.Test(t, func(t *testing.T) {
			d := tell(t, socket, well, 0, fmt.Sprint("WATCHDOG_PID=", pid))
			if got := strings.Join(d.after(time.Minute), "\n"); strings.Contains(got, "WATCHDOG=1") != fed || !strings.Contains(got, "READY=1") {
				t.Errorf("WATCHDOG_PID=%d of %d: %q", pid, os.Getpid(), got)
			}
			d.end()
			<-d.ended
		})
	}
}

// fill sends datagrams until the queue of the socket is full, and returns how many.
func fill(socket *harness.NotifySocket) (n int) {
	for sendTo(socket.Name, "X=1") == nil {
		n++
	}
	return n
}

// A systemd that reads no datagrams delays neither the service nor its stop, and is told when it reads again.
func TestFullQueueIsNotWaitedFor(t *testing.T) {
	socket := harness.NewNotifySocket(t, "")
	synctest.Test(t, func(t *testing.T) {
		filled := fill(socket)
		d := tell(t, socket, starting, 0)
		d.health.Store(well)
		time.Sleep(time.Minute)
		synctest.Wait()
		if said := strings.Count(d.log.String(), "systemd is not told"); said != 1 {
			t.Errorf("the log says it %d times: %s", said, d.log.String())
		}
		is(t, d.Received(t)[filled:])
		is(t, d.after(lookEvery), "STATUS=OK\nREADY=1\nWATCHDOG=1")
		d.end()
		<-d.ended
	})
}

func TestLimitOfAStartIsToldWhenSystemdTakesIt(t *testing.T) {
	socket := harness.NewNotifySocket(t, "")
	synctest.Test(t, func(t *testing.T) {
		filled := fill(socket)
		d := tell(t, socket, starting, time.Minute)
		is(t, d.after(time.Second)[filled:])
		is(t, d.after(time.Second), "EXTEND_TIMEOUT_USEC=60000000", "STATUS=Unavailable: starting")
		d.end()
		<-d.ended
	})
}

func TestWithoutSystemdNobodyIsTold(t *testing.T) {
	n := New(Options{Environ: []string{"NOTIFY_SOCKET=", "WATCHDOG_USEC=1"}})
	if n != nil {
		t.Errorf("a notifier without a socket: %+v", n)
	}
	n.Run(t.Context())
}

// Package sdnotify tells systemd when the service is ready, healthy and stopping, by the datagrams of sd_notify(3). It
// knows the published health, and nothing of how checks run, stores or configuration.
package sdnotify

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"accountservice/internal/checks"
)

// lookEvery is the longest time between two readings of the published health.
const lookEvery = 250 * time.Millisecond

// Options say what systemd is told.
type Options struct {
	// Environ has NOTIFY_SOCKET, and WATCHDOG_USEC and WATCHDOG_PID if the unit has a watchdog.
	Environ []string
	// Health is what /health publishes.
	Health func() *checks.Snapshot
	// StartLimit is how long the start may take; 0 leaves it to the unit.
	StartLimit time.Duration
	// Stopping is done when the service is told to stop.
	Stopping context.Context
	Log      *slog.Logger
}

// Notifier tells systemd.
type Notifier struct {
	Options
	socket   string
	watchdog time.Duration // after which systemd restarts a service that sent no WATCHDOG=1; 0 for never

	status string    // the last STATUS= that was sent
	ready  bool      // READY=1 was sent
	beat   time.Time // of the last WATCHDOG=1
	failed bool      // the last datagram could not be sent
}

// New returns a Notifier that has sent nothing, or nil without NOTIFY_SOCKET: then systemd did not start the service.
func New(o Options) *Notifier {
	n := &Notifier{Options: o, socket: value(o.Environ, "NOTIFY_SOCKET")}
	if n.socket == "" {
		return nil
	}
	usec, err := strconv.ParseInt(value(o.Environ, "WATCHDOG_USEC"), 10, 64)
	pid := value(o.Environ, "WATCHDOG_PID")
	if err == nil && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

func value(environ []string, name string) string {
	for _, variable := range environ {
		if text, is := strings.CutPrefix(variable, name+"="); is {
			return text
		}
	}
	return ""
}

// Run tells systemd about the service until ctx or Stopping is done. A nil Notifier does nothing.
func (n *Notifier) Run(ctx context.Context) {
	if n == nil {
		return
	}
	look := lookEvery
	if n.watchdog > 0 {
		look = min(look, n.watchdog/8)
	}
	tick := time.Tick(look)
	extended := n.StartLimit == 0
	for ctx.Err() == nil && n.Stopping.Err() == nil {
		if !extended && !n.ready { // else systemd ends a long start
			extended = n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", n.StartLimit.Microseconds()))
		}
		n.tell(n.Health(), time.Now())
		select {
		case <-tick:
		case <-ctx.Done():
		case <-n.Stopping.Done():
		}
	}
	if n.Stopping.Err() != nil {
		n.send("STOPPING=1\nSTATUS=draining")
	}
}

// tell sends what changed, and WATCHDOG=1 when half of the watchdog's time is over. READY=1 and WATCHDOG=1 are sent
// only while /health is 200. What could not be sent is sent by the next call.
func (n *Notifier) tell(health *checks.Snapshot, now time.Time) {
	var lines []string
	status := statusOf(health)
	if status != n.status {
		lines = append(lines, "STATUS="+status)
	}
	if health.Healthy && !n.ready {
		lines = append(lines, "READY=1")
	}
	beat := health.Healthy && n.watchdog > 0 && now.Sub(n.beat) >= n.watchdog/2
	if beat {
		lines = append(lines, "WATCHDOG=1")
	}
	if lines == nil || !n.send(strings.Join(lines, "\n")) {
		return
	}
	n.status, n.ready = status, n.ready || health.Healthy
	if beat {
		n.beat = now
	}
}

// statusOf returns the health in one line for people. It names checks and repeats no errors, as /health does without a
// token.
func statusOf(health *checks.Snapshot) string {
	if causes := health.Causes(); causes != nil {
		return health.Status + ": " + strings.Join(causes, ", ")
	}
	return health.Status
}

// send sends a datagram without waiting, and reports whether that succeeded. It fails if systemd's queue is full. Of
// failures in a row the first is logged.
func (n *Notifier) send(text string) (sent bool) {
	err := sendTo(n.socket, text)
	if err != nil && !n.failed {
		n.Log.Warn("systemd is not told how the service is", "NOTIFY_SOCKET", n.socket, "err", err)
	}
	n.failed = err != nil
	return err == nil
}

// sendTo sends text to a socket of the file system, or to an abstract one, whose name begins with @.
func sendTo(socket, text string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return syscall.Sendto(fd, []byte(text), syscall.MSG_DONTWAIT, &syscall.SockaddrUnix{Name: socket})
}

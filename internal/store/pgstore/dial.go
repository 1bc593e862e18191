package pgstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// cancelledTime is how long a statement has to end whose caller has gone.
const cancelledTime = time.Second

// socket is the network connection of a session. When the context of a statement ends, it keeps pgx from cancelling a
// commit on the server, and from waiting 15 s for the end of the session.
type socket struct {
	net.Conn
	cut, commits atomic.Bool
}

// dial connects. A machine that is gone is noticed after 11 s, also by a commit that waits and sends nothing.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network == cancelling {
		return dialCancel(ctx, address)
	}
	alive := net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}
	c, err := (&net.Dialer{KeepAliveConfig: alive}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &socket{Conn: c}, nil
}

// dialCancel connects to have a statement cancelled. The pool has one connection less meanwhile, so this takes a second at
// most.
func dialCancel(ctx context.Context, address string) (net.Conn, error) {
	end := time.Now().Add(time.Second)
	c, err := (&net.Dialer{Deadline: end}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(end)
	s := &socket{Conn: c}
	s.cut.Store(true) // pgx sets no other deadline
	return s, nil
}

// RemoteAddr returns the address to which pgx connects to cancel the statement that was cut short. The server would
// otherwise work on, beside the session that takes the place in the pool: clients who soon give up would use up all its
// connections while a table is locked. A commit has no address: the server would end its wait for its standby.
func (s *socket) RemoteAddr() net.Addr {
	if s.cut.Load() && !s.commits.Load() {
		return address{cancelling, s.Conn.RemoteAddr().String()}
	}
	return address{"none", "none"}
}

// SetDeadline does nothing once the deadline was in the past, which is how pgx cuts a statement short: it would then give
// a server that may be gone 15 s to end the session, and the pool would have one connection less for so long.
func (s *socket) SetDeadline(t time.Time) error {
	if s.cut.Load() {
		return nil
	}
	s.cut.Store(!t.IsZero() && !t.After(time.Now()))
	return s.Conn.SetDeadline(t)
}

func socketOf(c *pgconn.PgConn) *socket {
	network := c.Conn()
	if encrypted, is := network.(*tls.Conn); is {
		network = encrypted.NetConn()
	}
	return network.(*socket)
}

func (s *socket) Read(p []byte) (int, error)  { return s.noteCut(s.Conn.Read(p)) }
func (s *socket) Write(p []byte) (int, error) { return s.noteCut(s.Conn.Write(p)) }

func (s *socket) noteCut(n int, err error) (int, error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.cut.Store(true)
	}
	return n, err
}

// watcher cuts a statement short whose context has ended: at once if its time is up, and after cancelledTime if it was
// cancelled. A new session costs more than the end of most statements, so clients that give up would keep the sessions
// from others.
type watcher struct {
	pgconn.DeadlineContextWatcherHandler
}

func newWatcher(c *pgconn.PgConn) ctxwatch.Handler {
	return &watcher{pgconn.DeadlineContextWatcherHandler{Conn: c.Conn()}}
}

// HandleCancel implements ctxwatch.Handler.
func (w *watcher) HandleCancel(ctx context.Context) {
	if w.DeadlineDelay = 0; errors.Is(ctx.Err(), context.Canceled) {
		w.DeadlineDelay = cancelledTime
	}
	w.DeadlineContextWatcherHandler.HandleCancel(ctx)
}

// addressOf is where a session's server was found.
func addressOf(c *pgconn.PgConn) string { return socketOf(c).Conn.RemoteAddr().String() }

// whole reports whether a session can be used. One whose statement was cut short when its answer had come cannot, and
// pgx does not close it.
func whole(_ context.Context, c *pgx.Conn) (bool, error) {
	s := socketOf(c.PgConn())
	s.commits.Store(false)
	return !s.cut.Load(), nil
}

// cancelling is the network of an address to which pgx connects to cancel a statement.
const cancelling = "tcp to cancel"

type address struct{ network, text string }

func (a address) Network() string { return a.network }
func (a address) String() string  { return a.text }

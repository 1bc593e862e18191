package pgstore

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// socket is the network connection of a session. When the context of a statement ends, it keeps pgx from cancelling the
// statement on the server, and from waiting 15 s for the end of the session.
type socket struct {
	net.Conn
	cut atomic.Bool
}

// dial connects. A machine that is gone is noticed after 11 s, also by a commit that waits and sends nothing.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	alive := net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}
	c, err := (&net.Dialer{KeepAliveConfig: alive}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &socket{Conn: c}, nil
}

// RemoteAddr returns no address: pgx would connect to it to cancel the statement, and the server would end the wait of a
// commit for its standby.
func (*socket) RemoteAddr() net.Addr { return noAddr{} }

// SetDeadline does nothing once the deadline was in the past, which is how pgx cuts a statement short: it would then give
// a server that may be gone 15 s to end the session, and the pool would have one connection less for so long.
func (s *socket) SetDeadline(t time.Time) error {
	if s.cut.Load() {
		return nil
	}
	s.cut.Store(!t.IsZero() && !t.After(time.Now()))
	return s.Conn.SetDeadline(t)
}

// socketOf returns the socket of a session.
func socketOf(c *pgconn.PgConn) *socket {
	network := c.Conn()
	if encrypted, is := network.(*tls.Conn); is {
		network = encrypted.NetConn()
	}
	return network.(*socket)
}

// addressOf is where a session's server was found.
func addressOf(c *pgconn.PgConn) string { return socketOf(c).Conn.RemoteAddr().String() }

// whole reports whether a session can be used. One whose statement was cut short when its answer had come cannot, and
// pgx does not close it.
func whole(_ context.Context, c *pgx.Conn) (bool, error) {
	return !socketOf(c.PgConn()).cut.Load(), nil
}

type noAddr struct{}

func (noAddr) Network() string { return "none" }
func (noAddr) String() string  { return "none" }

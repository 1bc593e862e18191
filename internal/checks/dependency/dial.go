package dependency

import (
	"cmp"
	"context"
	"net"
	"time"
)

// connect dials the service, and makes the TLS handshake where the scheme asks for one.
func (t *target) connect(ctx context.Context, at *phase) (*session, error) {
	conn, err := t.dial(ctx, at)
	if err != nil {
		return nil, err
	}
	s := newSession(conn)
	if t.tls == nil {
		return s, nil
	}
	if err := s.during(ctx, func() error { return s.encrypt(at, t.tls) }); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// dial opens a connection to the service, in about the timeout of a run. It tries the addresses of a name one after the
// other, never two at once.
func (t *target) dial(ctx context.Context, at *phase) (net.Conn, error) {
	if t.socket != "" {
		*at = connect
		return (&net.Dialer{}).DialContext(ctx, "unix", t.socket)
	}
	*at = nameLookup
	began := time.Now()
	addrs, err := resolver(ctx, t.timeout).LookupIPAddr(ctx, t.url.Hostname())
	if err != nil {
		return nil, err
	}
	*at = connect
	return reach(ctx, addrs, t.port, max(t.timeout-time.Since(began), t.timeout/4))
}

// resolver asks the system's name servers, in about this time.
func resolver(ctx context.Context, timeout time.Duration) *net.Resolver {
	servers, _ := resolvConf("")
	return &net.Resolver{PreferGo: true, Dial: dialServers(ctx, servers, timeout)}
}

// dialServers gives each name server but the last its share of the time that is left, and closes the sockets when ctx ends.
// Go's own would wait for 5 s for one that does not answer: the next ones would never be asked.
func dialServers(ctx context.Context, servers []string, timeout time.Duration,
) func(context.Context, string, string) (net.Conn, error) {
	began := time.Now()
	return func(inner context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(inner, network, addr)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		if addr != servers[len(servers)-1] {
			share := (timeout - time.Since(began)) / time.Duration(len(servers))
			time.AfterFunc(share, func() { conn.SetDeadline(time.Unix(1, 0)) })
		}
		return conn, nil
	}
}

// reach connects to the first of these addresses that accepts. Package net would wait at least 2 s for the first,
// which is longer than most runs.
func reach(ctx context.Context, addrs []net.IPAddr, port string, left time.Duration) (net.Conn, error) {
	return firstOf(ctx, addrs, left, func(ctx context.Context, addr net.IPAddr) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), port))
	})
}

// firstOf tries all in turn until one gives no error; else it returns the first error. Each has the same share
// of the time left, and the last one all that remains.
func firstOf[From, To any](ctx context.Context, all []From, left time.Duration,
	try func(context.Context, From) (To, error)) (To, error) {
	var first error
	for i, one := range all {
		turn, cancel := ctx, func() {}
		if i < len(all)-1 {
			turn, cancel = context.WithTimeout(ctx, left/time.Duration(len(all)))
		}
		result, err := try(turn, one)
		cancel()
		if err == nil {
			return result, nil
		}
		first = cmp.Or(first, err)
		if ctx.Err() != nil {
			break
		}
	}
	var none To
	return none, first
}

//go:build linux

package dependencies

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"accountservice/tests/harness"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// own is a server of this process, which can be stopped and started like a program.
type own struct {
	*testing.T
	addr  string
	serve func(net.Listener) (end func())
	end   func()
}

func newOwn(t *testing.T, serve func(net.Listener) (end func())) *own {
	t.Helper()
	o := &own{T: t, addr: newAddr(t), serve: serve}
	t.Cleanup(o.stop)
	return o
}

func (o *own) address() string { return o.addr }

func (o *own) start() {
	o.Helper()
	l, err := net.Listen("tcp", o.addr)
	harness.Must(o.T, err)
	o.end = o.serve(l)
}

func (o *own) stop() {
	if o.end != nil {
		o.end()
		o.end = nil
	}
}

// newHTTP answers every request; config is nil for a server without TLS.
func newHTTP(t *testing.T, config *tls.Config) *own {
	return newOwn(t, func(l net.Listener) func() {
		server := &http.Server{TLSConfig: config, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		if config == nil {
			go server.Serve(l)
		} else {
			go server.ServeTLS(l, "", "")
		}
		return func() { server.Close() }
	})
}

// newBanner greets everyone and hangs up.
func newBanner(t *testing.T, config *tls.Config) *own {
	return newOwn(t, func(l net.Listener) func() {
		greet := l
		if config != nil {
			greet = tls.NewListener(l, config)
		}
		return serveEach(greet, func(c net.Conn) { io.WriteString(c, "220 hello\r\n") })
	})
}

// serveEach serves every connection until the returned function ends all, and waits for that.
func serveEach(l net.Listener, serve func(net.Conn)) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { c.Close() })
			running.Go(func() {
				defer stop()
				defer c.Close()
				serve(c)
			})
		}
	})
	return func() { l.Close(); cancel(); running.Wait() }
}

// newGRPC is gRPC's own server with its own health service; config is nil for one without TLS.
func newGRPC(t *testing.T, state *health.Server, config *tls.Config) *own {
	return newOwn(t, func(l net.Listener) func() {
		var options []grpc.ServerOption
		if config != nil {
			options = append(options, grpc.Creds(credentials.NewTLS(config)))
		}
		server := grpc.NewServer(options...)
		grpc_health_v1.RegisterHealthServer(server, state)
		go server.Serve(l)
		return server.Stop
	})
}

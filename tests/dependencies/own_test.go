//go:build linux

package dependencies

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"

	"accountservice/tests/harness"

	"google.golang.org/grpc"
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
		go func() {
			for {
				c, err := greet.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					io.WriteString(c, "220 hello\r\n")
				}()
			}
		}()
		return func() { l.Close() }
	})
}

// newGRPC is gRPC's own server with its own health service.
func newGRPC(t *testing.T, state *health.Server) *own {
	return newOwn(t, func(l net.Listener) func() {
		server := grpc.NewServer()
		grpc_health_v1.RegisterHealthServer(server, state)
		go server.Serve(l)
		return server.Stop
	})
}

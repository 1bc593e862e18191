//go:build linux

package dependencies

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// own is a server of this process, which can be stopped and started like a
// program.
type own struct {
	*testing.T
	addr  string
	serve func(net.Listener) (end func())
	end   func()
}

func newOwn(t *testing.T, serve func(net.Listener) (end func())) *own {
	t.Helper()
	o := &own{T: t, addr: freeAddr(t), serve: serve}
	t.Cleanup(o.stop)
	return o
}

func (o *own) start() {
	o.Helper()
	l, err := net.Listen("tcp", o.addr)
	must(o.T, err)
	o.end = o.serve(l)
}

func (o *own) stop() {
	if o.end != nil {
		o.end()
		o.end = nil
	}
}

// newHTTP counts its requests; config is nil for one without TLS.
func newHTTP(t *testing.T, asked *atomic.Int64, config *tls.Config) *own {
	return newOwn(t, func(l net.Listener) func() {
		server := &http.Server{TLSConfig: config, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) })}
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

// newCertificate is for 127.0.0.1; file holds it for those who are to trust it,
// and key.pem beside it its key.
func newCertificate(t *testing.T) (config *tls.Config, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	file = filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600))
	secret, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	must(t, os.WriteFile(keyOf(file), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}, NextProtos: []string{"h2", "http/1.1"}}, file
}

func keyOf(file string) string { return filepath.Join(filepath.Dir(file), "key.pem") }

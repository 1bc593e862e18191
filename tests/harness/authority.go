package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates. Its own is for 127.0.0.1, too.
type Authority struct {
	File string // its certificate as PEM, for those who are to trust it; its key is in KeyOf(File)
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes one that is valid for 1000 hours.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{File: filepath.Join(tb.TempDir(), "ca.pem")}
	a.cert, a.key = a.sign(tb, &x509.Certificate{IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(1000 * time.Hour)})
	writePair(tb, a.File, a.cert, a.key)
	return a
}

// writePair writes a certificate, and its key into KeyOf(file).
func writePair(tb testing.TB, file string, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	tb.Helper()
	secret, err := x509.MarshalECPrivateKey(key)
	Must(tb, err)
	Must(tb, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600))
	Must(tb, os.WriteFile(KeyOf(file), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
}

// Pair writes a certificate for 127.0.0.1 and localhost that ends after this time, and its key into KeyOf(file). It
// returns the certificate.
func (a *Authority) Pair(tb testing.TB, file string, left time.Duration) *x509.Certificate {
	tb.Helper()
	cert, key := a.sign(tb, &x509.Certificate{DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(left)})
	writePair(tb, file, cert, key)
	return cert
}

// LaterPair is Pair for a certificate that is not valid before this time has passed.
func (a *Authority) LaterPair(tb testing.TB, file string, wait time.Duration) {
	tb.Helper()
	from := time.Now().Add(wait)
	cert, key := a.sign(tb, &x509.Certificate{DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: from, NotAfter: from.Add(1000 * time.Hour)})
	writePair(tb, file, cert, key)
}

// Client is an HTTP client that trusts this authority alone, with HTTP/2 or without.
func (a *Authority) Client(http2 bool) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: http2}
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// KeyOf is the file of the key that belongs to the certificate in a file of an Authority.
func KeyOf(file string) string { return filepath.Join(filepath.Dir(file), "key.pem") }

// Own is the authority's own certificate.
func (a *Authority) Own() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key}
}

// Server is the configuration of a server of this name whose certificate ends after this time.
func (a *Authority) Server(tb testing.TB, left time.Duration, name string) *tls.Config {
	tb.Helper()
	cert, key := a.sign(tb, &x509.Certificate{DNSNames: []string{name}, NotAfter: time.Now().Add(left)})
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
		NextProtos: []string{"h2", "http/1.1"}}
}

// sign completes a template; the first is signed by itself.
func (a *Authority) sign(tb testing.TB, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Must(tb, err)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-48 * time.Hour)
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	Must(tb, err)
	cert, err := x509.ParseCertificate(raw)
	Must(tb, err)
	return cert, key
}

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
	secret, err := x509.MarshalECPrivateKey(a.key)
	Must(tb, err)
	Must(tb, os.WriteFile(a.File, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600))
	Must(tb, os.WriteFile(KeyOf(a.File), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
	return a
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
	template.NotBefore = time.Now().Add(-48 * time.Hour)
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	Must(tb, err)
	cert, err := x509.ParseCertificate(raw)
	Must(tb, err)
	return cert, key
}

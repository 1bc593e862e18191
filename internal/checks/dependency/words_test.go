package dependency

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// signed returns a certificate of this template, signed by another.
func signed(t *testing.T, template *x509.Certificate, by tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	harness.Must(t, err)
	parent, err := x509.ParseCertificate(by.Certificate[0])
	harness.Must(t, err)
	template.SerialNumber, template.NotBefore = big.NewInt(0x1122334455667788), time.Now().Add(-48*time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(1000 * time.Hour)
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by.PrivateKey)
	harness.Must(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func TestOddCertificatesHaveWordsOfTheirOwn(t *testing.T) {
	ca := harness.NewAuthority(t)
	named := func() *x509.Certificate { return &x509.Certificate{DNSNames: []string{"svc.test"}} }
	ended := time.Now().Add(-time.Hour)
	middle := signed(t, &x509.Certificate{Subject: pkix.Name{CommonName: "hunter2"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: ended}, ca.Own())
	below := signed(t, named(), middle)
	below.Certificate = append(below.Certificate, middle.Certificate[0])
	negative := signed(t, named(), ca.Own())
	serial := strings.Index(string(negative.Certificate[0]), "\x11\x22\x33\x44")
	negative.Certificate[0][serial] |= 0x80
	for name, c := range map[string]struct {
		certificate tls.Certificate
		want        string
	}{
		"no name":                   {signed(t, &x509.Certificate{Subject: pkix.Name{CommonName: "svc.test"}}, ca.Own()), "its certificate has no subject alternative name, and so is for no host"},
		"an intermediate has ended": {below, "an intermediate certificate that it sends ended on " + day(ended)},
		"a negative serial number":  {negative, "its certificate can't be read: it breaks the rules, such as by a negative serial number"},
	} {
		for kind, serve := range secureServers {
			if name == "a negative serial number" && (kind == "https" || kind == "grpcs") {
				continue // httptest refuses to serve it
			}
			addr := serve(t, &tls.Config{Certificates: []tls.Certificate{c.certificate}, NextProtos: []string{"h2", "http/1.1"}})
			url := fmt.Sprintf(overTLS[kind].url, addr, ca.File)
			t.Run(kind+" "+name, func(t *testing.T) { says(t, ask(t, url, ample), "TLS handshake: "+c.want) })
		}
	}
}

// As of a Redis Cluster: each key is on one of its primaries.
func TestAPrimaryOfAClusterIsAskedForNoKeyOfAnother(t *testing.T) {
	for answer, want := range map[string]string{
		"+OK\r\n": "",
		"-READONLY You can't write against a read only replica.\r\n": "query: the server answers READONLY",
	} {
		p := newPeer(t, func(c net.Conn, _ int) {
			for lines := bufio.NewScanner(c); lines.Scan(); {
				switch lines.Text() {
				case "PING":
					io.WriteString(c, "+PONG\r\n")
				case "accountservice-health":
					io.WriteString(c, "-MOVED 9121 10.0.0.2:6379\r\n")
				case "0":
					io.WriteString(c, answer)
				}
			}
		})
		says(t, ask(t, fmt.Sprintf("redis://%s?role=primary", p.Addr()), ample), want)
	}
}

// As of MariaDB for a user of PAM.
func TestALoginThatMySQLsDriverDoesNotHaveIsSaid(t *testing.T) {
	p := newPeer(t, func(c net.Conn, _ int) {
		io.WriteString(c, mySQLGreeting)
		c.Read(make([]byte, 1024)) // the login
		io.WriteString(c, "\x08\x00\x00\x02\xfedialog\x00")
		io.Copy(io.Discard, c)
	})
	says(t, ask(t, fmt.Sprintf("mysql://u:hunter2@%s", p.Addr()), ample),
		"authentication: the server wants a login for this user that this check does not have, such as PAM or Kerberos")
}

func TestAShortRSAKeyIsSaid(t *testing.T) {
	short := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 511), E: 3}
	err := rsa.VerifyPKCS1v15(short, crypto.SHA256, make([]byte, crypto.SHA256.Size()), make([]byte, short.Size()))
	at := tlsHandshake
	says(t, describe(fmt.Errorf("tls: invalid signature: %w", err), &at, "Redis"),
		"TLS handshake: its certificate has too short an RSA key: Go takes 1024 bits or more")
}

// tls asks nothing, and in TLS 1.3 a server refuses after the handshake.
func TestAServerThatDemandsACertificate(t *testing.T) {
	ca, other := harness.NewAuthority(t), harness.NewAuthority(t)
	own := func(by *harness.Authority) string {
		file := filepath.Join(t.TempDir(), "client.pem")
		by.Pair(t, file, time.Hour)
		return "&cert_file=" + file + "&key_file=" + harness.KeyOf(file)
	}
	for name, c := range map[string]struct {
		demand        tls.ClientAuthType
		options, want string
	}{
		"none":          {tls.RequireAndVerifyClientCert, "", "TLS handshake: the server wants a certificate of its clients: give it one by cert_file and key_file"},
		"right":         {tls.RequireAndVerifyClientCert, own(ca), ""},
		"foreign":       {tls.RequireAndVerifyClientCert, own(other), "TLS handshake: the server refuses the certificate of cert_file"},
		"none demanded": {tls.RequestClientCert, "", ""},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for kind, serve := range secureServers {
				config := ca.Server(t, 1000*time.Hour, "svc.test")
				config.ClientAuth = c.demand
				config.ClientCAs = new(target).readRoots(ca.File)
				config.MinVersion, config.MaxVersion = version, version
				url := fmt.Sprintf(overTLS[kind].url, serve(t, config), ca.File) + c.options
				t.Run(fmt.Sprint(kind, " ", tls.VersionName(version), " ", name), func(t *testing.T) { says(t, ask(t, url, ample), c.want) })
			}
		}
	}
}

func TestGRPCOverTLSNeedsALPN(t *testing.T) {
	ca := harness.NewAuthority(t)
	config := ca.Server(t, 1000*time.Hour, "svc.test")
	config.NextProtos = nil
	p := newPeer(t, func(c net.Conn, _ int) { io.Copy(io.Discard, tls.Server(c, config)) })
	says(t, ask(t, fmt.Sprintf("grpcs://%s?ca_file=%s&server_name=svc.test", p.Addr(), ca.File), ample),
		"TLS handshake: the server does not agree to HTTP/2 (ALPN), which gRPC needs")
}

func TestABodyNeedNotBeWhatItSays(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			t.Error("it asks for compression")
		}
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "this is no gzip")
	}))
	defer server.Close()
	says(t, ask(t, server.URL, ample), "")
}

// A stranger who answers in place of the server must not get the password.
func TestAStrangerGetsNoPassword(t *testing.T) {
	const askedInClear = "R\x00\x00\x00\x08\x00\x00\x00\x03"
	for url, c := range map[string]struct{ first, then, want string }{
		"postgres://u:hunter2@%s/db":                 {"N", askedInClear, "authentication: the server wants the password in clear or as MD5, which is for sslmode=verify-full or disable"},
		"postgres://u:hunter2@%s/db?sslmode=disable": {askedInClear, "", "authentication: no answer in time"},
		"nats://u:hunter2@%s":                        {"INFO {}\r\n", "", "greeting: the server offers no TLS, without which plaintext_login=allow must permit the login"},
		"nats://hunter2@%s":                          {"INFO {}\r\n", "", "greeting: the server offers no TLS, without which plaintext_login=allow must permit the login"},
	} {
		t.Run(url, func(t *testing.T) {
			heard := make(chan string, 1)
			p := newPeer(t, func(conn net.Conn, _ int) {
				packet := make([]byte, 4096)
				if strings.HasPrefix(url, "postgres") {
					conn.Read(packet)
				}
				io.WriteString(conn, c.first)
				if c.then != "" {
					conn.Read(packet)
					io.WriteString(conn, c.then)
				}
				all, _ := io.ReadAll(conn)
				heard <- string(all)
			})
			asker := newAsker(t, fmt.Sprintf(url, p.Addr()))
			says(t, within(t, func(ctx context.Context) error { return asker.Ask(ctx) }, enough(c.want)), c.want)
			if got := <-heard; strings.Contains(got, "hunter2") == !strings.Contains(url, "disable") {
				t.Errorf("the stranger got %q", got)
			}
		})
	}
}

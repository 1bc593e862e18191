package dependency

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/warning"
	"accountservice/tests/harness"
)

// speaks answers PING of Redis, and logins.
func speaks(c net.Conn, _ int) {
	for lines := bufio.NewScanner(c); lines.Scan(); {
		switch lines.Text() {
		case "AUTH":
			io.WriteString(c, "+OK\r\n")
		case "PING":
			io.WriteString(c, "+PONG\r\n")
		}
	}
}

// speaksNATS answers PING after its own is answered.
func speaksNATS(c net.Conn, _ int) {
	io.WriteString(c, "INFO {}\r\n")
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if word := lines.Text(); word == "PING" || word == "PONG" {
			io.WriteString(c, word+"\r\n")
		}
	}
}

// plainServers are servers without TLS that are well, and whose connections are kept.
func plainServers(t *testing.T) map[string]string {
	return map[string]string{
		"http://%s": listenHTTP(t),
		"grpc://%s": newH2Server(t, nil),
		"redis://:hunter2@%s?plaintext_login=allow": newPeer(t, speaks).Addr().String(),
		"nats://u:hunter2@%s?plaintext_login=allow": newPeer(t, speaksNATS).Addr().String(),
		"amqp://u:hunter2@%s?plaintext_login=allow": newPeer(t, speaksAMQP).Addr().String(),
	}
}

// Libraries have goroutines for a connection: all end with it.
func TestOneConnectionServesManyRunsAndLeavesNothing(t *testing.T) {
	for url, server := range plainServers(t) {
		p, before := new(broken).to(t, server), goroutines()
		asker := newAsker(t, fmt.Sprintf(url, p.Addr()))
		asker.Close() // of nothing
		for range 50 {
			says(t, within(t, asker.Ask, ample), "")
		}
		if open, most, total := p.counted(); open != 1 || most != 1 || total != 1 {
			t.Errorf("%s: %d connections are kept of %d, %d at once; want 1", url, open, total, most)
		}
		asker.Close()
		p.settles(t)
		noneLeft(t, before)
	}
}

func TestAFlappingServerFailsOnlyTheRunsItRefuses(t *testing.T) {
	ca := harness.NewAuthority(t)
	servers := plainServers(t)
	servers["tcp://%s?expect=220"] = newPeer(t, func(c net.Conn, _ int) { io.WriteString(c, "220 hello\r\n") }).Addr().String()
	for kind, serve := range secureServers {
		url := strings.Replace(overTLS[kind].url, "ca_file=%s", "ca_file="+ca.File, 1)
		servers[url] = serve(t, ca.Server(t, 1000*time.Hour, "svc.test"))
	}
	for url, server := range servers {
		t.Run(url[:strings.IndexByte(url, ':')], func(t *testing.T) {
			t.Parallel()
			var way broken
			p := way.to(t, server)
			run := runs(t, fmt.Sprintf(url, p.Addr()), ample)
			for i, ill := range []bool{false, true, false, true, true, false, false} {
				way.shut.Store(ill)
				p.cut(t)
				if err := run(); (err != nil) != ill {
					t.Errorf("run %d: %v", i, err)
				}
			}
			if _, most, _ := p.counted(); most != 1 {
				t.Errorf("%d connections at once", most)
			}
		})
	}
}

func TestACertificateThatEndsSoonIsAWarningAndNoFailure(t *testing.T) {
	ca := harness.NewAuthority(t)
	const days = 24 * time.Hour
	for name, c := range map[string]struct {
		left    time.Duration
		options string
		warns   string
	}{
		"in 9 days":            {9*days + time.Hour, "", ", in 9 days"},
		"in 15 days":           {15 * days, "", ""},
		"in 15 days, asked 20": {15*days + time.Hour, "&cert_warn=480h", ", in 15 days"},
		"in 9 days, not asked": {9 * days, "&cert_warn=0s", ""},
		"in an hour":           {time.Hour, "", ", in 0 days"},
	} {
		for kind, serve := range secureServers {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				p := new(broken).to(t, serve(t, ca.Server(t, c.left, "svc.test")))
				url := fmt.Sprintf(overTLS[kind].url, p.Addr(), ca.File) + c.options
				run := runs(t, url, ample)
				for range 2 { // with a new connection and with a kept one
					err := run()
					if c.warns == "" && err != nil {
						t.Errorf("%v, want no warning", err)
					}
					if c.warns != "" {
						warns(t, err, c.warns)
					}
				}
				want := 1 // a warning keeps the one
				if kind == "tls" {
					want = 2
				}
				if _, _, total := p.counted(); total != want {
					t.Errorf("%d connections, want %d", total, want)
				}
			})
		}
	}
}

// warns wants a warning that ends so.
func warns(t *testing.T, err error, end string) {
	t.Helper()
	var warning interface{ Warning() string }
	if !errors.As(err, &warning) || warning.Warning() != err.Error() || !strings.HasSuffix(err.Error(), end) {
		t.Errorf("%v, want a warning that ends with %s", err, end)
	}
}

// secureServers are servers of each way to speak TLS that are well.
var secureServers = map[string]func(*testing.T, *tls.Config) (addr string){
	"https": newH2Server,
	"grpcs": newH2Server,
	"tls": func(t *testing.T, config *tls.Config) string {
		return newPeer(t, func(c net.Conn, _ int) { tls.Server(c, config).Handshake() }).Addr().String()
	},
	"rediss": func(t *testing.T, config *tls.Config) string {
		return newPeer(t, func(c net.Conn, _ int) { speaks(tls.Server(c, config), 0) }).Addr().String()
	},
}

func TestRenewedRootsNeedNoRestart(t *testing.T) {
	for kind, serve := range secureServers {
		old, next := harness.NewAuthority(t), harness.NewAuthority(t)
		run := runs(t, fmt.Sprintf(overTLS[kind].url, serve(t, next.Server(t, 1000*time.Hour, "svc.test")), old.File), ample)
		const unknown = "TLS handshake: its certificate is signed by an unknown authority"
		says(t, run(), unknown)
		harness.Must(t, os.WriteFile(old.File, nil, 0o600)) // half a copy
		says(t, run(), unknown)
		harness.Must(t, os.Rename(next.File, old.File))
		says(t, run(), "")
	}
}

// In TLS 1.3 a server says at the first read what it thinks of the client.
func TestAServerThatRefusesTheHandshakeIsSaid(t *testing.T) {
	ca := harness.NewAuthority(t)
	for name, c := range map[string]struct {
		change func(*tls.Config)
		want   string
	}{
		"wants a certificate": {func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, "TLS handshake: the server wants a certificate of its clients: give it one by cert_file and key_file"},
		"has no cipher for us": {func(c *tls.Config) {
			c.CipherSuites, c.MaxVersion = []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}, tls.VersionTLS12
		}, "TLS handshake: the server refuses it: handshake failure"},
		"is too old for us": {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "TLS handshake: the server refuses it: protocol version not supported"},
	} {
		for kind, serve := range secureServers {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				config := ca.Server(t, 1000*time.Hour, "svc.test")
				c.change(config)
				url := fmt.Sprintf(overTLS[kind].url, serve(t, config), ca.File)
				if kind == "tls" {
					url += "&expect=hello" // else it does not read
				}
				run := runs(t, url, ample)
				for range 3 {
					says(t, run(), c.want)
				}
			})
		}
	}
}

func TestACertificateThatEndedOnAKeptConnectionIsSaid(t *testing.T) {
	ended := time.Now().Add(-time.Minute)
	warns(t, endsSoon(ended, time.Hour), "its certificate ended on "+day(ended)+": the next connection will fail")
}

func TestAUserOfRedisMayNotDoAll(t *testing.T) {
	const noPermission = "-NOPERM User hunter2 has no permissions to run this command\r\n"
	for refused, want := range map[string]string{
		"SELECT": "authentication: this user may not SELECT the database (NOPERM)",
		"PING":   "ping: this user may not PING (NOPERM)",
	} {
		p := newPeer(t, func(c net.Conn, _ int) {
			for lines := bufio.NewScanner(c); lines.Scan(); {
				switch word := lines.Text(); {
				case word == refused:
					io.WriteString(c, noPermission)
				case word == "AUTH" || word == "SELECT":
					io.WriteString(c, "+OK\r\n")
				}
			}
		})
		run := runs(t, fmt.Sprintf("redis://u:hunter2@%s/1?plaintext_login=allow", p.Addr()), ample)
		for range 2 {
			says(t, run(), want)
			p.settles(t)
		}
	}
}

func TestConnectingBacksOffOnceTheCheckHasTurned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		refuse := errors.New("refused")
		wait := backoff{failAfter: 3, first: time.Second}
		run := func(opening bool, err error) {
			if wait.held() == nil {
				asked++
				wait.note(err, opening)
			}
		}
		for i, want := range []int{1, 2, 3, 4, 5, 5, 6, 6, 6, 6} { // every second
			if run(true, refuse); asked != want {
				t.Errorf("after %d s it was asked %d times, want %d", i, asked, want)
			}
			if held := wait.held(); held != nil && held != (skipped{refuse}) {
				t.Errorf("held back with %v", held)
			}
			time.Sleep(time.Second)
		}
		began := time.Now()
		for range 100 {
			run(true, refuse)
			time.Sleep(time.Second)
		}
		if n := asked - 6; n < int(time.Since(began)/maxBackoff)-1 || n > 25 {
			t.Errorf("asked %d times in 100 s, want once in %v", n, maxBackoff)
		}
		time.Sleep(maxBackoff)
		run(true, nil) // it is back
		asked = 0
		for range 10 {
			run(false, refuse) // let in, and then no answer: no reason to wait
		}
		for range 10 {
			run(true, warning.Errorf("its certificate ends soon")) // a success: tls asks nothing after the handshake
		}
		if asked != 20 {
			t.Errorf("asked %d times, want 20", asked)
		}
	})
}

// A run must not end the next one: the deadline of the first is set when it ends, also if it passes just then.
func TestEndOfOneRunDoesNotEndTheNext(t *testing.T) {
	for url, server := range plainServers(t) {
		asker := newAsker(t, fmt.Sprintf(url, server))
		for i := range 400 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(2*time.Duration(i)*time.Microsecond, cancel)
			ended := asker.Ask(ctx)
			cancel()
			if err := asker.Ask(t.Context()); err != nil {
				t.Fatalf("%s: after a run with %v: %v", url, ended, err)
			}
		}
	}
}

// Also one that warns would fail at the next run.
func TestARunThatEndsAsItsTimeDoesIsNoPass(t *testing.T) {
	for _, passed := range []error{nil, warning.Errorf("low on disk")} {
		ctx, cancel := context.WithCancel(t.Context())
		conn, _ := net.Pipe()
		err := newSession(conn).during(ctx, func() error { cancel(); return passed })
		if err != context.Canceled {
			t.Errorf("with %v: %v, want that the time is over", passed, err)
		}
	}
}

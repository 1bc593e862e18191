package dependency

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// A list of hosts that is looked up as one name would always fail, or pass by a wildcard of the DNS.
func TestSeveralHostsAreAskedEachOrRefused(t *testing.T) {
	for _, scheme := range Schemes() {
		for _, hosts := range []string{"a,b", "a:1,b:2", "[::1]:1,b", "a,b:2"} {
			if kinds[scheme].takes&withHosts == 0 {
				_, err := New(fmt.Sprintf("%s://%s/x", scheme, hosts), time.Second, 3)
				if err == nil || !strings.Contains(err.Error(), severalHosts) {
					t.Errorf("%s://%s: %v, want it refused", scheme, hosts, err)
				}
				continue
			}
			asker, err := New(fmt.Sprintf("%s://u@%s/x", scheme, hosts), time.Second, 3)
			if err != nil || len(asker.hosts) != 2 || strings.Contains(asker.hosts[0].addr()+asker.hosts[1].addr(), ",") {
				t.Errorf("%s://%s: %v, want two hosts", scheme, hosts, err)
			}
		}
	}
}

// speaksPostgres has no TLS, wants no password and answers 1 to each query.
func speaksPostgres(c net.Conn, _ int) {
	c.Read(make([]byte, 1024))
	io.WriteString(c, "N")
	answersPostgres(c)
}

// answersPostgres answers the question for TLS and accepts any login.
func answersPostgres(c net.Conn) {
	const ready = "Z\x00\x00\x00\x05I"
	c.Read(make([]byte, 1024))
	io.WriteString(c, "R\x00\x00\x00\x08\x00\x00\x00\x00"+ready)
	for query := make([]byte, 1024); ; {
		if n, err := c.Read(query); err != nil || n == 0 || query[0] != 'Q' {
			return
		}
		io.WriteString(c, "T\x00\x00\x00\x1a\x00\x01x\x00"+strings.Repeat("\x00", 18)+
			"D\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x011C\x00\x00\x00\x0dSELECT 1\x00"+ready)
	}
}

func TestAHostThatIsWellIsKeptAndNoOtherAsked(t *testing.T) {
	const wrong = "E\x00\x00\x00\x1cSFATAL\x00C28P01\x00Mhunter2\x00\x00"
	refuses := newPeer(t, func(c net.Conn, _ int) {
		c.Read(make([]byte, 1024))
		io.WriteString(c, "N")
		c.Read(make([]byte, 1024))
		io.WriteString(c, wrong)
	})
	well := newPeer(t, speaksPostgres)
	asker := newAsker(t, fmt.Sprintf("postgres://u:hunter2@%s,%s/db", refuses.Addr(), well.Addr()))
	for range 3 {
		harness.Must(t, asker.Ask(t.Context()))
	}
	if _, _, total := refuses.counted(); total != 1 {
		t.Errorf("the host that refuses was asked %d times, want once", total)
	}
	if _, _, total := well.counted(); total != 1 {
		t.Errorf("%d connections to the host that is well, want one that is kept", total)
	}
	well.cut(t)
	well.Close()
	says(t, asker.Ask(t.Context()), fmt.Sprintf("%s: authentication: the server refuses the user name, the password or this host (28P01); "+
		"%s: connect: %[2]s: connection refused", refuses.Addr(), well.Addr()))
}

func TestACertificateIsVerifiedWithoutItsName(t *testing.T) {
	ours, others := harness.NewAuthority(t), harness.NewAuthority(t)
	config := ours.Server(t, 100*time.Hour, "other.test")
	addr := newPeer(t, func(c net.Conn, _ int) {
		c.Read(make([]byte, 1024))
		io.WriteString(c, "S")
		answersPostgres(tls.Server(c, config))
	}).Addr().String()
	const url = "postgres://u:hunter2@%s/db?sslmode=%s&ca_file=%s"
	for mode, want := range map[string]string{
		"verify-ca&cert_warn=0s": "",
		"verify-full":            "TLS handshake: its certificate is for another name than 127.0.0.1",
	} {
		says(t, ask(t, fmt.Sprintf(url, addr, mode, ours.File), ample), want)
	}
	says(t, ask(t, fmt.Sprintf(url, addr, "verify-ca", others.File), ample), "TLS handshake: its certificate is signed by an unknown authority")
	if err := ask(t, fmt.Sprintf(url, addr, "verify-ca", ours.File), ample); !isWarning(err) || !strings.Contains(err.Error(), "in 4 days") {
		t.Errorf("%v, want a warning of the end of its certificate", err)
	}
}

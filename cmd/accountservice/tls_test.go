package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// secure starts the service with a certificate of ca that ends after this time, and returns when it serves.
func secure(t *testing.T, ca *harness.Authority, left time.Duration, env ...string) (p *harness.Process, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "cert.pem")
	ca.Pair(t, file, left)
	p = start(t, newPath(t), append([]string{"ACCOUNTSERVICE_HTTP_TLS_CERT_PATH=" + file,
		"ACCOUNTSERVICE_HTTP_TLS_KEY_PATH=" + harness.KeyOf(file)}, env...)...)
	p.URL = strings.Replace(p.URL, "http", "https", 1)
	p.Logs(t, `"serving"`)
	return p, file
}

// get asks for a path and returns the answer, whose body is read, and the end of the certificate that came with it.
func get(client *http.Client, url string) (resp *http.Response, body string, err error) {
	resp, err = client.Get(url)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

func TestAccountsAreServedOverTLSByHTTP1AndHTTP2(t *testing.T) {
	t.Parallel()
	ca := harness.NewAuthority(t)
	p, _ := secure(t, ca, 1000*time.Hour)
	for http2, proto := range map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"} {
		resp, body, err := get(ca.Client(http2), p.URL+"/accounts/10000")
		if err != nil || resp.StatusCode != 200 || resp.Proto != proto || !strings.Contains(body, "Person_0") {
			t.Errorf("%v, %v, %s; want 200 by %s", resp, err, body, proto)
		}
	}
	if resp, err := http.Get(strings.Replace(p.URL, "https", "http", 1) + "/health"); err != nil || resp.StatusCode != 400 {
		t.Errorf("without TLS: %v, %v; want 400", resp, err)
	}
	probeSays(t, p, 0, "")
	p.Stop(t, 0)
}

func TestCommandsSayThatTheServiceSpeaksTLS(t *testing.T) {
	t.Parallel()
	p, _ := secure(t, harness.NewAuthority(t), 1000*time.Hour)
	plain := strings.Replace(p.URL, "https", "http", 1)
	host := strings.TrimPrefix(plain, "http://")
	lines := harness.File(t, "accounts.ndjson", `{"id":"a","name":"A"}`)
	for _, args := range [][]string{{"status", plain}, {"export", "--url", plain}, {"import", "--url", plain, lines},
		{"maintenance", "show", plain}, {"backup", "--url", plain, "--to", filepath.Join(t.TempDir(), "backup.db")}} {
		got := runs(t, command("", args...))
		if got.is(t, 1, "", host+" speaks TLS: give its address with https://"); strings.Contains(got.Stderr, "trying again") {
			t.Errorf("%q is tried again: %s", args, got.Stderr)
		}
	}
}

func TestOldestVersionOfTLSIsASetting(t *testing.T) {
	t.Parallel()
	ca := harness.NewAuthority(t)
	for setting, oldest := range map[string]uint16{"1.3": tls.VersionTLS13, "1.2": tls.VersionTLS12} {
		p, _ := secure(t, ca, 1000*time.Hour, "ACCOUNTSERVICE_HTTP_TLS_MIN_VERSION="+setting)
		for _, version := range []uint16{tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
			conn, err := tls.Dial("tcp", fmt.Sprint("127.0.0.1:", p.Port),
				&tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
			if (err == nil) != (version >= oldest) {
				t.Errorf("min_version %s: version %s has %v", setting, tls.VersionName(version), err)
			}
			if err == nil {
				conn.Close()
			}
		}
	}
}

// The probe asks by a socket of the container and needs no certificate; clients that verify are refused.
func TestEndedCertificateDegradesAndKillsNothing(t *testing.T) {
	t.Parallel()
	ca := harness.NewAuthority(t)
	p, _ := secure(t, ca, -time.Hour, quick...)
	if _, _, err := get(ca.Client(false), p.URL+"/health"); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("%v, want that it has expired", err)
	}
	anyone := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	harness.Must(t, harness.Eventually(20*time.Second, func() error {
		resp, body, err := get(anyone, p.URL+"/health")
		if err != nil || resp.StatusCode != 200 || !strings.Contains(body, `"tls":"the certificate ended on `) {
			return fmt.Errorf("/health: %v, %v, %s", resp, err, body)
		}
		return nil
	}))
	probeSays(t, p, 0, "")
	p.Stop(t, 0)
}

// 50 certificates in turn, with clients that keep their connections and such that do not, by HTTP/1.1 and HTTP/2.
func TestReplacedCertificateFailsNoRequest(t *testing.T) {
	t.Parallel()
	ca := harness.NewAuthority(t)
	p, file := secure(t, ca, 1000*time.Hour, "ACCOUNTSERVICE_CHECKS_INTERVAL=100ms", "ACCOUNTSERVICE_CHECKS_TIMEOUT=90ms")
	var served, failed atomic.Int64
	var clients sync.WaitGroup
	over := make(chan struct{})
	for i := range 8 {
		client := ca.Client(i%2 == 0)
		client.Transport.(*http.Transport).DisableKeepAlives = i < 4
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if resp, _, err := get(client, p.URL+"/accounts/10000"); err != nil || resp.StatusCode != 200 {
					failed.Add(1)
					t.Errorf("%v, %v", resp, err)
					return
				}
				served.Add(1)
			}
		})
	}
	addr := fmt.Sprint("127.0.0.1:", p.Port)
	for i := range 50 {
		want := ca.Pair(t, file, time.Duration(1000+i)*time.Hour) // a check may see one file of the old pair
		harness.Must(t, harness.Eventually(20*time.Second, func() error {
			conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				return err
			}
			defer conn.Close()
			if got := conn.ConnectionState().PeerCertificates[0]; !got.Equal(want) {
				return fmt.Errorf("certificate %d is not served", i)
			}
			return nil
		}))
	}
	close(over)
	clients.Wait()
	t.Logf("%d requests", served.Load())
	if failed.Load() > 0 || served.Load() < 50 {
		t.Errorf("%d requests failed, %d were served", failed.Load(), served.Load())
	}
	p.Stop(t, 0)
}

func TestConfigCheckFindsACertificateThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	ca := harness.NewAuthority(t)
	pair := func(left time.Duration) string {
		file := filepath.Join(t.TempDir(), "cert.pem")
		ca.Pair(t, file, left)
		return file
	}
	good, soon, ended := pair(1000*time.Hour), pair(time.Hour), pair(-time.Hour)
	for name, c := range map[string]struct {
		cert, key    string
		code         int
		stdout, says string
	}{
		"good":       {good, harness.KeyOf(good), 0, "configuration is valid", ""},
		"ends soon":  {soon, harness.KeyOf(soon), 0, "warning: http.tls.cert_path: the certificate ends on ", ""},
		"ended":      {ended, harness.KeyOf(ended), 2, "", "http.tls.cert_path: the certificate ended on "},
		"mismatched": {good, harness.KeyOf(soon), 2, "", "http.tls.cert_path: the value (from ACCOUNTSERVICE_HTTP_TLS_CERT_PATH) can't be used: "},
		"unreadable": {good, "/nowhere/key.pem", 2, "", "/nowhere/key.pem: no such file or directory"},
		"no key":     {good, "", 2, "", "set both http.tls.cert_path and http.tls.key_path, or none"},
	} {
		cmd := with(command(newPath(t), "config", "check"), "ACCOUNTSERVICE_HTTP_TLS_CERT_PATH="+c.cert, "ACCOUNTSERVICE_HTTP_TLS_KEY_PATH="+c.key)
		t.Run(name, func(t *testing.T) { runs(t, cmd).is(t, c.code, c.stdout, c.says) })
	}
}

// What only the service reads must keep nobody from the database.
func TestBrokenFilesOfTheServiceStopNoCommand(t *testing.T) {
	t.Parallel()
	path, to, broken := newPath(t), filepath.Join(t.TempDir(), "copy.db"), write(t, "no certificate")
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"import", write(t, line(1))}, 0},
		{[]string{"export"}, 0},
		{[]string{"backup", "--to", to}, 0},
		{[]string{"restore", "--force", to}, 0},
		{[]string{"compact", path}, 0},
		{[]string{"maintenance", "show"}, 1}, // nothing listens
		{[]string{"config", "check"}, 2},
		{nil, 2},
	} {
		cmd := with(command(path, c.args...), "ACCOUNTSERVICE_HTTP_TLS_CERT_PATH="+broken, "ACCOUNTSERVICE_HTTP_TLS_KEY_PATH="+broken,
			"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL=http://users/?header_file=/nowhere", "ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:1")
		runs(t, cmd).is(t, c.code, "", "")
	}
}

// The commands that talk to a service take only a certificate that SSL_CERT_FILE or the system vouches for.
func TestCommandsVerifyTheCertificateOfAService(t *testing.T) {
	t.Parallel()
	ca := harness.NewAuthority(t)
	p, _ := secure(t, ca, 1000*time.Hour)
	lines := write(t, line(1))
	for _, args := range [][]string{{"export", "--url", p.URL}, {"import", lines, "--url", p.URL}} {
		runs(t, with(command("", args...), "SSL_CERT_FILE="+ca.File)).is(t, 0, "", "")
	}
	runs(t, with(command("", "export", "--url", p.URL), "SSL_CERT_FILE="+harness.NewAuthority(t).File)).is(t, 1, "", "; an authority of your own is named by the variable SSL_CERT_FILE")
	p.Stop(t, 0)
}

// A client that begins TLS and does not go on is let go as one that begins no request.
func TestHandshakeThatStallsIsLetGo(t *testing.T) {
	t.Parallel()
	ca := harness.NewAuthority(t)
	p, _ := secure(t, ca, 1000*time.Hour, "ACCOUNTSERVICE_HTTP_READ_HEADER_TIMEOUT=300ms")
	for name, begin := range map[string]func(net.Conn) error{
		"silent":       func(net.Conn) error { return nil },
		"half a hello": func(c net.Conn) error { _, err := c.Write([]byte("\x16\x03\x01\x02\x00\x01")); return err },
		"no request":   func(c net.Conn) error { return tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake() },
	} {
		conn := dial(t, p.URL)
		harness.Must(t, begin(conn))
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil && os.IsTimeout(err) {
			t.Errorf("%s: still held after 20 s", name)
		}
	}
}

package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

const (
	healthy = `{"status":"OK","component":{"name":"accountservice","version":"1"},"ready":true,"checks":{"bolt":{"status":"ok","on_failure":"restart"}}}`
	sick    = `{"status":"Unavailable","failures":{"bolt":"file replaced","another":"refused","disk":"nearly full"},"component":{"name":"accountservice"},
		"checks":{"another":{"status":"failing","on_failure":"degrade","error":"refused"},"disk":{"status":"failing","on_failure":"degrade"},
		"bolt":{"status":"failing","on_failure":"restart","error":"file replaced"},"calm":{"status":"ok","on_failure":"restart"}}}`
)

// These make the test binary the probe, as a process with a real exit code, and one that obeys no deadline.
const (
	asProbe        = "HEALTHCHECKER_TEST_PROBE=1"
	asHangingProbe = "HEALTHCHECKER_TEST_HANG=1"
)

var binary, _ = os.Executable() // of this test, which is the probe, too

func TestMain(m *testing.M) {
	switch {
	case slices.Contains(os.Environ(), asProbe):
		main()
		os.Exit(0)
	case slices.Contains(os.Environ(), asHangingProbe):
		guard(soon, os.Stdout)
		select {}
	}
	os.Exit(m.Run())
}

// processEnv is the environment of a probe in a process of its own: as one of the above, without the race detector's
// own second at each exit, and with a folder that the test binary wants under -cover.
func processEnv(t *testing.T, as string, more ...string) []string {
	t.Helper()
	return append([]string{as, "GORACE=atexit_sleep_ms=0", "GOCOVERDIR=" + t.TempDir()}, more...)
}

// soon is a limit for tests of peers that never come to an end. That it was kept
// is what the probe says; the clock, on a busy machine, only tells a hang.
const soon, hang = 300 * time.Millisecond, 30 * time.Second

// verdict is what a probe came to: its exit code and output.
type verdict struct {
	code int
	out  string
}

// probed runs the probe in this process.
func probed(limit time.Duration, args, environ []string) verdict {
	c, err := parse(limit, args, environ)
	if out := c.run(err); out != "" {
		return verdict{1, out}
	}
	return verdict{}
}

// executed runs the probe as a process and fails on anything on stderr.
func executed(t *testing.T, environ []string, args ...string) verdict {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = processEnv(t, asProbe, environ...)
	return ended(t, cmd)
}

func ended(t *testing.T, cmd *exec.Cmd) verdict {
	t.Helper()
	r := harness.Run(t, cmd)
	if r.Stderr != "" {
		t.Errorf("stderr = %q, want nothing", r.Stderr)
	}
	return verdict{r.Code, r.Stdout}
}

// healthy and sick state the contract of the output: silence, or one printable line of at most 1 KiB that says
// everything in words, and that sick returns. is means healthy without words.
func (v verdict) healthy(t *testing.T) {
	t.Helper()
	if v != (verdict{}) {
		t.Errorf("exit code %d, output %q; want 0 and silence", v.code, v.out)
	}
}

func (v verdict) is(t *testing.T, words []string) {
	t.Helper()
	if words == nil {
		v.healthy(t)
		return
	}
	v.sick(t, words...)
}

func (v verdict) sick(t *testing.T, words ...string) (out string) {
	t.Helper()
	if v.code != 1 {
		t.Errorf("exit code %d, want 1", v.code)
	}
	if strings.Count(v.out, "\n") != 1 || !strings.HasSuffix(v.out, "\n") || len(v.out) > 1024 {
		t.Errorf("output %q (%d bytes), want one line of at most 1024", v.out, len(v.out))
	}
	for _, w := range words {
		if !strings.Contains(v.out, w) {
			t.Errorf("output %q does not say %q", v.out, w)
		}
	}
	return v.out
}

// serve answers /health, and only that, with code and body.
func serve(t *testing.T, code int, body string) *httptest.Server {
	t.Helper()
	return serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			http.NotFound(w, r)
			return
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	})
}

func serveFunc(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func portOf(t *testing.T, a net.Addr) string {
	t.Helper()
	_, port, err := net.SplitHostPort(a.String())
	harness.Must(t, err)
	return port
}

// says is a peer that reads a request and answers with text, then hangs up.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, text)
	}
}

// drips sends text a byte at a time, for ever.
func drips(head, text string) func(net.Conn) {
	return func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, head)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			<-tick.C
			if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
				return
			}
		}
	}
}

// refusedPort is a TCP port on which nothing listens, nor will while the test runs.
func refusedPort(t *testing.T) string { t.Helper(); return strconv.Itoa(harness.Port(t)) }

// listen6 listens on ::1 at a port that refuses on 127.0.0.1.
func listen6(t *testing.T) (net.Listener, string) {
	t.Helper()
	for range 20 { // someone else may have the port on ::1
		port := refusedPort(t)
		l, err := net.Listen("tcp6", "[::1]:"+port)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Skipf("no IPv6 loopback: %v", err)
		}
		t.Cleanup(func() { l.Close() })
		return l, port
	}
	t.Fatal("no port is free on both loopback addresses")
	return nil, ""
}

package dependency

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// TestMain lets this binary be a process that asks one URL, since Go reads
// proxies and trusted certificates from the environment only once.
func TestMain(m *testing.M) {
	if url := os.Getenv("DEPENDENCY_TEST_URL"); url != "" {
		timeout, _ := time.ParseDuration(os.Getenv("DEPENDENCY_TEST_TIMEOUT"))
		run, err := New(url, timeout, 3)
		if err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			err = run.Ask(ctx)
		}
		fmt.Print(err)
		return
	}
	os.Exit(m.Run())
}

// askElsewhere asks url in a process with env, and returns its error; "<nil>" is healthy.
func askElsewhere(t *testing.T, url string, timeout time.Duration, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(env, "DEPENDENCY_TEST_URL="+url, "DEPENDENCY_TEST_TIMEOUT="+timeout.String(), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	// an address for documents (RFC 5737): to one of our own Go uses no proxy
	got := askElsewhere(t, "http://192.0.2.1/", brief, "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "ALL_PROXY="+proxy.URL)
	if n := asked.Load(); n != 0 || got == "<nil>" {
		t.Errorf("the proxy was asked %d times and the run gave %q; want none, and no success", n, got)
	}
}

func TestTheAuthoritiesOfTheSystemAreTrusted(t *testing.T) {
	ca := harness.NewAuthority(t)
	server := newH2Server(t, ca.Server(t, 1000*time.Hour, "localhost"))
	url := "https://localhost:" + server[strings.LastIndexByte(server, ':')+1:]
	if got := askElsewhere(t, url, ample, "SSL_CERT_FILE="+ca.File); got != "<nil>" {
		t.Errorf("%q, want it healthy", got)
	}
}

func TestWhatIsNoHTTPIsNeverRepeated(t *testing.T) {
	const secret = "hunter2 "
	long := strings.Repeat(secret, 3<<20/len(secret))
	for name, answer := range map[string]string{
		"a short line":         secret + "\r\n",
		"3 MiB without an end": long,
		"3 MiB and an end":     long + "\r\n\r\n",
		"status no number":     "HTTP/1.1 " + secret + "\r\n\r\n",
		"status of 3 MiB":      "HTTP/1.1 200 " + long,
		"broken header":        "HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n",
		"header of 3 MiB":      "HTTP/1.1 200 OK\r\nX-Long: " + long + "\r\nContent-Length: 0\r\n\r\n",
		"header of 65 KiB":     "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 65<<10) + "\r\nContent-Length: 0\r\n\r\n",
		"broken length":        "HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n",
		"unknown encoding":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, func(c net.Conn, _ int) {
				c.Read(make([]byte, 4096))
				io.WriteString(c, answer)
			})
			want := "waiting for the answer: its answer can't be read as HTTP, or its header is longer than 64 KiB"
			says(t, ask(t, "http://"+p.Addr().String(), ample), want)
		})
	}
}

// A mail or shell server greets before it is asked.
func TestPeerThatSpeaksFirstIsNeverRepeated(t *testing.T) {
	greets := newPeer(t, func(c net.Conn, _ int) { io.WriteString(c, "220 hunter2.example ESMTP\r\n") })
	trailer := newPeer(t, func(c net.Conn, _ int) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nhunter2\r\n\r\n")
	})
	defer log.SetOutput(log.Writer())
	log.SetOutput(io.Discard) // as the program does: net/http logs what comes before it has asked
	for range 200 {
		for _, p := range []*peer{greets, trailer} {
			if err := ask(t, "http://"+p.Addr().String(), ample); err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "%!w") {
				t.Fatalf("%v", err)
			}
		}
	}
}

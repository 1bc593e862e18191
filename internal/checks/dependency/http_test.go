package dependency

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func ask(t *testing.T, url string, patience time.Duration) error {
	t.Helper()
	run, err := New(url, 2*patience, 3) // so that the deadline of the run comes first
	if err != nil {
		t.Fatalf("New(%s): %v", url, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return run(ctx)
}

func TestHTTPTakesOnlyA2xxAsHealthy(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.Header().Set("Location", "/200")
		if code == http.StatusSeeOther {
			w.Header().Set("Location", "http://hunter2 %zz/")
		}
		w.WriteHeader(code)
	}))
	defer server.Close()
	for _, code := range []int{200, 204, 301, 302, 303, 400, 401, 404, 500, 503} {
		want := fmt.Sprintf("answer: it answers %d %s", code, http.StatusText(code))
		if code < 300 {
			want = "<nil>"
		}
		if err := ask(t, fmt.Sprintf("%s/%d", server.URL, code), 5*time.Second); fmt.Sprint(err) != want {
			t.Errorf("%d = %v, want %s", code, err, want)
		}
	}
}

func TestHTTPSendsTheUserAndThePasswordOfTheURL(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "hunter2/" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	if err := ask(t, strings.Replace(server.URL, "://", "://u:hunter2%2F@", 1), ample); err != nil {
		t.Error(err)
	}
	if err := ask(t, server.URL, ample); err == nil {
		t.Error("it is healthy without a password")
	}
}

func TestHTTPNamesThePhaseThatFailed(t *testing.T) {
	silent := listen(t, func(c net.Conn) { <-t.Context().Done() })
	drip := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "x")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(drip.Close)
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	}))
	t.Cleanup(endless.Close)
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	garbage := listen(t, func(c net.Conn) { c.Read(make([]byte, 4096)); fmt.Fprint(c, "220 mail.example ESMTP\r\n") })
	for name, c := range map[string]struct{ url, want string }{
		"refused":    {"http://" + closed.Addr().String(), "connect: "},
		"no name":    {"http://no-such-host.invalid/", "name lookup: "},
		"silent":     {"http://" + silent, "waiting for the answer: no answer in time"},
		"silent TLS": {"https://" + silent, "TLS handshake: no answer in time"},
		"drips":      {drip.URL, "answer: no answer in time"},
		"endless":    {endless.URL, "answer: its answer is longer than 1024 KiB"},
		"unknown CA": {stranger.URL, "TLS handshake: "},
		"no HTTP":    {"http://" + garbage, "waiting for the answer: it is not HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := ample
			if strings.HasSuffix(c.want, "in time") {
				timeout = brief
			}
			if err := ask(t, c.url, timeout); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%s = %v, want %q", c.url, err, c.want)
			}
		})
	}
}

func TestAPageNeedNotBeSmallButEnd(t *testing.T) {
	for size, healthy := range map[int]bool{0: true, maxAnswer: true, maxPage: true, maxPage + 1: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, size)) }))
		defer server.Close()
		p := new(broken).to(t, server.Listener.Addr().String())
		run := runs(t, "http://"+p.Addr().String(), ample)
		for range 2 {
			if err := run(); (err == nil) != healthy {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		if _, _, total := p.counted(); healthy && total != 1 {
			t.Errorf("%d bytes: %d connections, want the one to be kept", size, total)
		}
	}
}

func TestPasswordsAreNeverShown(t *testing.T) {
	for _, url := range []string{"http://user:hunter2@127.0.0.1:1/?token=hunter2", "http://user:hunter2@no-such-host.invalid/"} {
		if err := ask(t, url, time.Second); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
	for _, url := range []string{"http://user:hunter2@%zz/", "ftp://user:hunter2@host/", "http://:hunter2@"} {
		if _, err := New(url, time.Second, 3); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("New(%q) = %v", url, err)
		}
	}
}

func TestUnknownSchemeNamesTheKnownOnes(t *testing.T) {
	if _, err := New("gopher://host", time.Second, 3); err == nil || !strings.Contains(err.Error(), "http, https, nats") {
		t.Errorf("New = %v", err)
	}
}

// listen serves every connection with f, and returns its address.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return l.Addr().String()
}

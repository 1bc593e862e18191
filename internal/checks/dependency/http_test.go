package dependency

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

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

func TestAPageNeedNotBeSmallButEnd(t *testing.T) {
	for size, want := range map[int]string{
		0: "<nil>", maxAnswer: "<nil>", maxPage: "<nil>",
		maxPage + 1: "answer: its answer is longer than 1024 KiB: give the URL of a smaller page",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, size)) }))
		defer server.Close()
		p := new(broken).to(t, server.Listener.Addr().String())
		run := runs(t, "http://"+p.Addr().String(), ample)
		for range 2 {
			if err := run(); fmt.Sprint(err) != want {
				t.Errorf("%d bytes: %v, want %s", size, err, want)
			}
		}
		if _, _, total := p.counted(); want == "<nil>" && total != 1 {
			t.Errorf("%d bytes: %d connections, want the one to be kept", size, total)
		}
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

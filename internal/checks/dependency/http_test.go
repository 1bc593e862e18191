package dependency

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
			want = ""
		}
		says(t, ask(t, fmt.Sprintf("%s/%d", server.URL, code), ample), want)
	}
}

func TestHTTPSendsTheUserAndThePasswordOfTheURL(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "hunter2/" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	says(t, ask(t, strings.Replace(server.URL, "://", "://u:hunter2%2F@", 1), ample), "")
	says(t, ask(t, server.URL, ample), "answer: it answers 401 Unauthorized")
}

func TestAPageAndItsHeaderNeedNotBeSmall(t *testing.T) {
	for size, want := range map[int]string{
		0: "", maxPage: "",
		maxPage + 1: "answer: its answer is longer than 1024 KiB: give the URL of a smaller page",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 60<<10)) // what is too long is 64 KiB
			w.Write(make([]byte, size))
		}))
		defer server.Close()
		p := new(broken).to(t, server.Listener.Addr().String())
		run := runs(t, "http://"+p.Addr().String(), ample)
		for range 2 {
			says(t, run(), want)
		}
		if _, _, total := p.counted(); want == "" && total != 1 {
			t.Errorf("%d bytes: %d connections, want the one to be kept", size, total)
		}
	}
}

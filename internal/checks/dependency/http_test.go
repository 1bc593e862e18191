package dependency

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/tests/harness"
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

func TestWhatAnAnswerMustSay(t *testing.T) {
	const body = `{"status":"UP","n":1.50,"none":null,"parts":[{"a/b":true}],"secret":"hunter2"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/text" {
			io.WriteString(w, "all is well, hunter2")
			return
		}
		io.WriteString(w, body)
	}))
	defer server.Close()
	const nothing = "answer: its answer has nothing at the JSON Pointer of expect_body"
	for path, want := range map[string]string{
		"/?expect_body=/status%3DUP":       "",
		"/?expect_body=/status=UP":         "",
		"/?expect_body=/n=1.50":            "",
		"/?expect_body=/none=null":         "",
		"/?expect_body=/parts/0/a~1b=true": "",
		"/?expect_body=/status=DOWN":       "answer: its answer has another value at the JSON Pointer of expect_body",
		"/?expect_body=/stat=UP":           nothing,
		"/?expect_body=/parts/1=x":         nothing,
		"/?expect_body=/status/0=x":        nothing,
		"/?expect_body=UP":                 "",
		"/text?expect_body=is+well":        "",
		"/text?expect_body=is+ill":         "answer: its answer does not have the text of expect_body",
		"/text?expect_body=/status=UP":     "answer: its answer is no JSON, where expect_body has a JSON Pointer",
	} {
		says(t, ask(t, server.URL+path, ample), want)
	}
}

func TestHowAnHTTPServiceIsAsked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "header")
	write := func(text string) { harness.Must(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("Authorization: Bearer hunter2\nX-Other: 1\n")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead || r.Host != "users.test" || r.Header.Get("X-Other") != "1" ||
			r.Header.Get("Authorization") != "Bearer hunter2" || r.URL.RawQuery != "" {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	defer server.Close()
	run := runs(t, server.URL+"/?method=HEAD&host=users.test&header_file="+file, ample)
	says(t, run(), "")
	write("Authorization: Bearer other\nX-Other: 1\n")
	says(t, run(), "answer: it answers 400 Bad Request")
	write("hunter2\n")
	says(t, run(), "waiting for the answer: the file of header_file can't be used any more")
	harness.Must(t, os.Remove(file))
	says(t, run(), "waiting for the answer: the file of header_file can't be used any more")
}

func TestAServiceOnAUnixSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", file)
	harness.Must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })}
	go server.Serve(l)
	defer server.Close()
	run := runs(t, "http://users.test/?expect_body=users.test&socket="+file, ample)
	for range 2 {
		says(t, run(), "")
	}
	server.Close()
	says(t, run(), "connect: "+file+": no such file or directory")
}

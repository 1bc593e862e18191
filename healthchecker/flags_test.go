package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

func TestFlagsThatCannotBeUsed(t *testing.T) {
	const url = "-url=http://127.0.0.1:1/"
	secure := "-url=https://127.0.0.1:" + portOf(t, harness.Serve(t, says("")))
	file := func(text string) string { return harness.File(t, "hunter2", text) }
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"status that is a word":    {[]string{url, "-expect-status=hunter2"}, "wrong command line: -expect-status: want codes from 200 to 599, such as 204 or 2xx,401 or 200-299; see -help"},
		"status of three digits":   {[]string{url, "-expect-status=200,600"}, "wrong command line: -expect-status: want codes"},
		"status that ends early":   {[]string{url, "-expect-status=299-200"}, "wrong command line: -expect-status: want codes"},
		"status with a sign":       {[]string{url, "-expect-status=+200"}, "wrong command line: -expect-status: want codes"},
		"status range with a sign": {[]string{url, "-expect-status=200-+299"}, "wrong command line: -expect-status: want codes"},
		"status class with a sign": {[]string{url, "-expect-status=+2xx"}, "wrong command line: -expect-status: want codes"},
		"status of four digits":    {[]string{url, "-expect-status=0200"}, "wrong command line: -expect-status: want codes"},
		"status below 200":         {[]string{url, "-expect-status=1xx"}, "wrong command line: -expect-status: want codes"},
		"timeout without a unit":   {[]string{url, "-timeout=5"}, "wrong command line: -timeout: want a time such as 5s or 500ms, up to 1m; see -help"},
		"timeout of nothing":       {[]string{url, "-timeout=0s"}, "wrong command line: -timeout: want a time"},
		"timeout too long":         {[]string{url, "-timeout=61s"}, "wrong command line: -timeout: want a time"},
		"no status":                {[]string{url, "-expect-status="}, "-expect-status: want a value"},
		"no body":                  {[]string{url, "-expect-body="}, "-expect-body: want a value"},
		"no timeout":               {[]string{url, "-timeout="}, "-timeout: want a value"},
		"no file of a header":      {[]string{url, "-header-file="}, "-header-file: want a value"},
		"no authority":             {[]string{secure, "-ca="}, "-ca: want a value"},
		"no name":                  {[]string{secure, "-server-name="}, "-server-name: want a value"},
		"authority without TLS":    {[]string{url, "-ca=x"}, "wrong command line: -ca and -server-name are for a -url with https://; see -help"},
		"name without TLS":         {[]string{"-port=1", "-server-name=x"}, "-ca and -server-name are for a -url with https://"},
		"authority without a file": {[]string{secure, "-ca=/nowhere/hunter2"}, "-ca: it can't be read: no such file or directory"},
		"authority that is none":   {[]string{secure, "-ca=" + file("hunter2")}, "-ca: the file has no certificate in PEM"},
		"header without a file":    {[]string{url, "-header-file=/nowhere/hunter2"}, "-header-file: it can't be read: no such file or directory"},
		"header without a colon":   {[]string{url, "-header-file=" + file("hunter2")}, "-header-file: it must have lines such as Authorization: Bearer abc"},
		"header without a name":    {[]string{url, "-header-file=" + file(": hunter2")}, "-header-file: it must have lines"},
		"header with a space":      {[]string{url, "-header-file=" + file("X-A : hunter2")}, "-header-file: it must have lines"},
		"header that ends a line":  {[]string{url, "-header-file=" + file("X-A: hunter2\rX-B: x")}, "-header-file: it must have lines"},
		"header of the request":    {[]string{url, "-header-file=" + file("host: hunter2")}, "-header-file: it must not set Host"},
		"variable that is not set": {[]string{url + "${HUNTER}"}, "wrong command line: -url: the variable HUNTER is not set, or empty; see -help"},
		"variable that is empty":   {[]string{"-url", "http://u:hunter2@127.0.0.1:${EMPTY}/"}, "wrong command line: -url: the variable EMPTY is not set, or empty"},
		"variable with a default":  {[]string{url + "${SET:-hunter2}"}, "wrong command line: -url: want a variable as ${NAME}; see -help"},
		"variable without an end":  {[]string{url, "--header-file", "/run/${SET"}, "wrong command line: -header-file: want a variable as ${NAME}"},
		"variable in no flag":      {[]string{url, "-url:http://u:hunter2@a/?a=${EMPTY}"}, "wrong command line: argument 2: the variable EMPTY"},
		"variable after a value":   {[]string{"-url", "http://u:hunter2@a/", "${EMPTY}"}, "wrong command line: argument 3: the variable EMPTY"},
		"variable at the start":    {[]string{"${EMPTY}"}, "wrong command line: argument 1: the variable EMPTY"},
		"variable that is a flag":  {[]string{"${FLAG}"}, "wrong command line; see -help"},
		"variable without a name":  {[]string{url + "${}"}, "want a variable as ${NAME}"},
	} {
		t.Run(name, func(t *testing.T) {
			out := probed(limit, row.args, []string{"EMPTY=", "SET=x", "FLAG=-hunter2"}).sick(t, row.want)
			if strings.Contains(out, "hunter2") {
				t.Errorf("%q is printed", out)
			}
		})
	}
}

func TestVariablesInArgumentsAreReplaced(t *testing.T) {
	asked := make(chan *http.Request, 1)
	s := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		echoCredentials(w, r)
	})
	environ := []string{"PORT=" + portOf(t, s.Listener.Addr()), "MY_PASSWORD_2=old", "MY_PASSWORD_2=hunter2", "Flag=-url", "TWICE=${PORT}"}
	executed(t, environ, "${Flag}", "http://me:${MY_PASSWORD_2}@127.0.0.1:${PORT}/a$b?${Flag}-${MY_PASSWORD_2}$${PORT}{x}${TWICE}").sick(t, "auth: me *** Basic ***")
	r := <-asked
	if _, password, _ := r.BasicAuth(); password != "hunter2" || r.RequestURI != "/a$b?-url-hunter2$"+environ[0][5:]+"{x}${PORT}" {
		t.Errorf("asked %s with password %q", r.RequestURI, password)
	}
}

// The peer repeats the path and the query as they were sent, and as they mean, in its reason phrase.
func TestVariablesInAURLAreNeverPrinted(t *testing.T) {
	echo := harness.Serve(t, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 503 no %s, no %s %q of prod\r\n\r\n", r.RequestURI, r.URL.Path, r.URL.Query())
	})
	for name, row := range map[string]struct{ url, value string }{
		"query":           {"http://ADDR/health?env=prod&token=${SECRET}", "hunter2"},
		"path":            {"http://ADDR/${SECRET}/health?env=prod", "hunter2"},
		"a part of both":  {"http://ADDR/a-${SECRET}?env=prod-${SECRET}", "hunter2"},
		"encoded":         {"http://ADDR/?env=prod&a=${SECRET}", "hunter%202%22x"},
		"with a plus":     {"http://ADDR/?env=prod&a=${SECRET}", "hunter+2"},
		"all of a query":  {"http://ADDR/?${SECRET}", "env=a&token=hunter2#x"},
		"all of the URL":  {"${SECRET}", "http://ADDR/health?token=hunter2"},
		"without a name":  {"${SECRET}", "http://ADDR/health?hunter2"},
		"longer than one": {"http://ADDR/?a=${SHORT}&b=${SECRET}", "proxhunter2"},
	} {
		t.Run(name, func(t *testing.T) {
			fill := strings.NewReplacer("ADDR", echo.String()).Replace
			out := probed(limit, []string{"-url", fill(row.url)}, []string{"SECRET=" + fill(row.value), "SHORT=prox"}).sick(t, echo.String()+" answers 503 no ", "***")
			if strings.Contains(out, "hunter") {
				t.Errorf("it prints %q", out)
			}
		})
	}
	for name, row := range map[string]struct{ url, value string }{
		"a port":           {"http://127.0.0.1:${VALUE}/health", refusedPort(t)},
		"a short one":      {"http://127.0.0.1:1/health?replica=${VALUE}", "127"},
		"a file of socket": {"unix:///nowhere/${VALUE}:/health", "app.sock"},
	} {
		t.Run(name, func(t *testing.T) {
			if out := probed(limit, []string{"-url", row.url}, []string{"VALUE=" + row.value}).sick(t, row.value); strings.Contains(out, "***") {
				t.Errorf("it prints %q", out)
			}
		})
	}
}

func TestHeaderOfAFileIsSentAndNeverPrinted(t *testing.T) {
	for text, want := range map[string]string{
		"Authorization: Bearer hunter2":           "Bearer hunter2",
		"authorization:\thunter2 \r\n":            "hunter2",
		"X-Other: other\n\nAuthorization: a\"b\n": `a"b`,
		"Authorization: Basic bWU6aHVudGVyMg":     "Basic bWU6aHVudGVyMg",
		"Authorization: Basic bTpodW50ZXIyYQ==":   "Basic bTpodW50ZXIyYQ==", // m:hunter2a
	} {
		file := harness.File(t, "header", text)
		asked := make(chan string, 1)
		echo := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
			asked <- r.Header.Get("Authorization")
			echoCredentials(w, r)
		})
		out := probed(limit, []string{"-url", echo.URL, "-header-file", file}, nil).sick(t)
		if got := <-asked; got != want {
			t.Errorf("%q sends %q, want %q", text, got, want)
		}
		_, secret, _ := strings.Cut(want, " ")
		for _, hidden := range []string{want, secret, "hunter2"} {
			if hidden != "" && strings.Contains(out, hidden) {
				t.Errorf("%q prints %q", text, out)
			}
		}
		garbage := harness.Serve(t, says(want+"\r\n"))
		out = probed(limit, []string{"-url", "http://" + garbage.String(), "-header-file", file}, nil).sick(t, "malformed HTTP response")
		if !strings.Contains(out, "***") {
			t.Errorf("%q prints %q", text, out)
		}
	}
}

func TestCertificateIsVerifiedByFlags(t *testing.T) {
	ca, other := harness.NewAuthority(t), harness.NewAuthority(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.ServerName)
	}))
	s.Config.ErrorLog = quiet()
	s.TLS = &tls.Config{Certificates: ca.Server(t, hang, "svc.test").Certificates}
	s.StartTLS()
	defer s.Close()
	environ := []string{"SSL_CERT_FILE=" + other.File, "SSL_CERT_DIR=" + t.TempDir()}
	for name, row := range map[string]struct {
		args  []string
		words []string // none: healthy
	}{
		"both right":        {[]string{"-ca", ca.File, "-server-name", "svc.test", "-expect-body", "svc.test"}, nil},
		"another name":      {[]string{"-ca", ca.File, "-server-name", "other.test"}, []string{"valid for svc.test, not other.test"}},
		"no name":           {[]string{"-ca", ca.File}, []string{"no TLS handshake with 127.0.0.1:"}},
		"another authority": {[]string{"-ca", other.File, "-server-name", "svc.test"}, []string{"unknown authority"}},
		"no authority":      {[]string{"-server-name", "svc.test"}, []string{"unknown authority"}},
	} {
		t.Run(name, func(t *testing.T) {
			executed(t, environ, append(row.args, "-url", s.URL)...).is(t, row.words)
		})
	}
}

// The guard would say "no verdict within 2s" if it did not know the flag.
func TestTimeoutIsThatOfTheFlag(t *testing.T) {
	t.Parallel()
	silent := "-port=" + portOf(t, harness.Serve(t, harness.Silent))
	executed(t, nil, silent, "-timeout=2500ms").sick(t, "no answer from 127.0.0.1:", " within 2.5s\n")
	executed(t, nil, silent, "-timeout", "50ms").sick(t, "no answer from 127.0.0.1:", " within 50ms\n")
	fifo := filepath.Join(t.TempDir(), "fifo")
	harness.Must(t, exec.Command("mkfifo", fifo).Run()) // its open waits for a writer, and knows no deadline
	executed(t, nil, silent, "-timeout", "50ms", "-header-file", fifo).sick(t, "the probe came to no verdict within 50ms\n")
}

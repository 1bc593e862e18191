package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/tests/harness"
)

func TestVerdictOnAnAnswer(t *testing.T) {
	for name, row := range map[string]struct {
		code  int
		body  string
		words []string // none: healthy
	}{
		"ok":                         {200, healthy, nil},
		"partially available":        {200, degraded, nil},
		"other 2xx":                  {206, healthy, nil},
		"unavailable":                {503, sick, []string{"Unavailable: bolt (restart): file replaced; another (degrade): refused; disk (degrade): nearly full\n"}},
		"unavailable with 200":       {200, sick, []string{"Unavailable: bolt (restart): file replaced"}},
		"unknown status":             {200, strings.Replace(healthy, "OK", "Fine", 1), []string{`its status is "Fine"`}},
		"ok with 503":                {503, healthy, []string{"answers 503 Service Unavailable"}},
		"health-go alone":            {503, `{"status":"Unavailable","failures":{"b":"two","a":"one"},"component":{"name":"accountservice"}}`, []string{"Unavailable: a: one; b: two\n"}},
		"text only at the check":     {503, `{"status":"Unavailable","component":{"name":"accountservice"},"checks":{"bolt":{"status":"hung","on_failure":"restart"}}}`, []string{"bolt (restart): hung"}},
		"other component":            {200, `{"status":"OK","component":{"name":"vipservice"}}`, []string{`answer is from "vipservice", not accountservice`}},
		"other component, sick":      {503, `{"status":"Unavailable","component":{"name":"vipservice"}}`, []string{`answer is from "vipservice", not accountservice`}},
		"no component":               {200, `{"status":"OK"}`, []string{"names no component"}},
		"not JSON":                   {200, "<html>It works!</html>", []string{"answers 200 OK, but not with accountservice's health JSON"}},
		"JSON and more":              {200, healthy + "x", []string{"not with accountservice's health JSON"}},
		"no object":                  {200, "[]", []string{"not with accountservice's health JSON"}},
		"null":                       {200, "null", []string{"names no component"}},
		"nothing":                    {204, "", []string{"answers 204 No Content"}},
		"not found":                  {404, "no such page", []string{"answers 404 Not Found\n"}},
		"problem details":            {503, `{"title":"Unavailable","status":503,"detail":"starting"}`, []string{"answers 503 Service Unavailable: starting\n"}},
		"control characters":         {503, `{"status":"Unavailable","failures":{"a\nb":"x\r\n\u001b[31my\u202e\u0000z"},"component":{"name":"accountservice"}}`, []string{"a b: x [31my z\n"}},
		"unauthorized, without JSON": {401, "", []string{"answers 401 Unauthorized"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, row.code, row.body)
			code, out := probed(t, limit, []string{"-port=" + portOf(t, s.Listener.Addr())}, nil)
			if row.words == nil {
				wantHealthy(t, code, out)
			} else {
				wantSick(t, code, out, row.words...)
			}
		})
	}
}

func TestAnyURLIsHealthyAt2xx(t *testing.T) {
	for _, row := range []struct {
		code int
		body string
		args []string
		word string // empty: healthy
	}{
		{200, "pong", nil, ""},
		{204, "", nil, ""},
		{200, sick, nil, ""},
		{200, `{"status":"OK","component":{"name":"vip"}}`, []string{"-component", "vip"}, ""},
		{200, "pong", []string{"-component", "vip"}, "not with vip's health JSON"},
		{200, healthy, []string{"-component", "vip"}, `answer is from "accountservice", not vip`},
		{500, "", nil, "answers 500 Internal Server Error"},
		{503, sick, nil, "Unavailable: bolt (restart): file replaced"},
		{503, `{"status":503}`, nil, "answers 503 Service Unavailable"},
	} {
		t.Run(fmt.Sprint(row.code, row.args, row.word), func(t *testing.T) {
			s := serve(t, row.code, row.body)
			code, out := probed(t, limit, append([]string{"-url", s.URL + "/health"}, row.args...), nil)
			if row.word == "" {
				wantHealthy(t, code, out)
			} else {
				wantSick(t, code, out, row.word)
			}
		})
	}
}

func TestURLIsAskedAsItStands(t *testing.T) {
	asked := make(chan *http.Request, 1)
	s := serveFunc(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r })
	address := s.Listener.Addr().String()
	code, out := probed(t, limit, []string{"-url", "http://me:s%40cret@" + address + "/a%2Fb?c=d%20e#f"}, nil)
	wantHealthy(t, code, out)

	r := <-asked
	if r.Method != "GET" || r.RequestURI != "/a%2Fb?c=d%20e" || r.Host != address || !r.Close {
		t.Errorf("asked %s %s of %s, close %v", r.Method, r.RequestURI, r.Host, r.Close)
	}
	if user, password, _ := r.BasicAuth(); user != "me" || password != "s@cret" {
		t.Errorf("asked as %q with password %q", user, password)
	}
}

func TestAnswerIsReadWithinItsBounds(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for name, row := range map[string]struct {
		handle func(net.Conn)
		word   string // empty: healthy
	}{
		"until the connection ends": {says(head + "\r\n" + healthy), ""},
		"HTTP/1.0":                  {says("HTTP/1.0 200 OK\r\n\r\n" + healthy), ""},
		"early hints first":         {says("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + head + "\r\n" + healthy), ""},
		"chunks of one byte":        {says(head + "Transfer-Encoding: chunked\r\n\r\n" + chunked(healthy)), ""},
		"exactly 1 MiB":             {says(head + "\r\n" + healthy + strings.Repeat(" ", maxBody-len(healthy))), ""},
		"one byte more":             {says(head + "\r\n" + healthy + strings.Repeat(" ", maxBody-len(healthy)+1)), "longer than 1 MiB"},
		"endless body":              {endless(head+"\r\n", " "), "longer than 1 MiB"},
		"endless header":            {endless(head, "X: y\r\n"), "the header of the answer from 127.0.0.1:"},
		"endless header line":       {endless(head+"X: ", "y"), "the header of the answer from"},
		"endless hints":             {endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"), "header of the answer from"},
		"cut short":                 {says(head + "Content-Length: 1000\r\n\r\n" + healthy), "no end of the answer from 127.0.0.1:"},
		"broken chunks":             {says(head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), "no end of the answer from"},
		"nothing":                   {says(""), "it closed the connection"},
		"another protocol":          {says("SSH-2.0-OpenSSH_9.6\r\n"), "it does not speak HTTP"},
		"garbage":                   {says("\x00\xff\x1b[2J\n\n\n"), "it does not speak HTTP"},
		"reset":                     {func(c net.Conn) { c.Read(make([]byte, 4096)); c.(*net.TCPConn).SetLinger(0) }, "it closed the connection"},
		"upgrade":                   {says("HTTP/1.1 101 Switching Protocols\r\n\r\n"), "answers 101 Switching Protocols"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := probed(t, 10*limit, []string{"-port", portOf(t, peer(t, row.handle))}, nil)
			if row.word == "" {
				wantHealthy(t, code, out)
			} else {
				wantSick(t, code, out, row.word)
			}
		})
	}
}

func chunked(body string) string {
	var b strings.Builder
	for _, c := range []byte(body) {
		fmt.Fprintf(&b, "1\r\n%c\r\n", c)
	}
	return b.String() + "0\r\n\r\n"
}

// endless answers with head, then with more again and again.
func endless(head, more string) func(net.Conn) {
	more = strings.Repeat(more, 1+4096/len(more))
	return func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, head)
		for {
			if _, err := io.WriteString(c, more); err != nil {
				return
			}
		}
	}
}

func TestOneDeadlineForEverything(t *testing.T) {
	for name, row := range map[string]struct {
		handle func(net.Conn)
		scheme string
		words  string
	}{
		"silent peer":     {silent, "http", "no answer from 127.0.0.1:"},
		"dripping header": {drips("HTTP/1.1 200 OK\r\nX: ", "x"), "http", "no answer from 127.0.0.1:"},
		"dripping body":   {drips("HTTP/1.1 200 OK\r\n\r\n", " "), "http", "no end of the answer from 127.0.0.1:"},
		"silent at TLS":   {silent, "https", "no TLS handshake with 127.0.0.1:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			code, out := probed(t, soon, []string{"-url", row.scheme + "://" + peer(t, row.handle).String()}, nil)
			wantSick(t, code, out, row.words, " within 300ms\n")
			if took := time.Since(start); took < soon || took > hang {
				t.Errorf("took %v, want %v", took, soon)
			}
		})
	}
}

func TestConnectHasTheSameDeadline(t *testing.T) {
	t.Parallel()
	address := fullListener(t)
	code, out := probed(t, soon, []string{"-url", "http://" + address}, nil)
	wantSick(t, code, out, "no connection to "+address+" within 300ms\n")
}

// fullListener never accepts and its queue is full: the kernel drops the next
// SYN, so that connect hangs.
func fullListener(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	harness.Must(t, err)
	emptyQueue(t, l)
	address := l.Addr().String()
	for range 20 {
		c, err := net.DialTimeout("tcp4", address, soon)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this kernel's queue does not fill")
	return ""
}

func TestHangThatKnowsNoDeadlineEndsToo(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	err := within(soon, func(context.Context) error { <-release; return nil })
	if got, want := fmt.Sprint(err), "the probe came to no verdict within 300ms"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNobodyListens(t *testing.T) {
	port := refusedPort(t)
	code, out := probed(t, limit, []string{"-port=" + port}, nil)
	wantSick(t, code, out, "nothing listens on 127.0.0.1:"+port)
}

func TestIPv6LoopbackIsAskedWhenIPv4Refuses(t *testing.T) {
	l, port := listen6(t)
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := "[::1]:" + port; r.Host != want {
			t.Errorf("Host is %q, want %q", r.Host, want)
		}
		io.WriteString(w, healthy)
	})}}
	s.Start()
	defer s.Close()
	code, out := probed(t, limit, []string{"-port=" + port}, nil)
	wantHealthy(t, code, out)
}

func TestIPv6LoopbackIsNotAskedWhenIPv4Answers(t *testing.T) {
	l4, l6, port := listenBoth(t)
	var hits atomic.Int32
	six := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) })}
	four := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })}
	go six.Serve(l6)
	go four.Serve(l4)
	defer six.Close()
	defer four.Close()
	code, out := probed(t, limit, []string{"-port=" + port}, nil)
	wantSick(t, code, out, "127.0.0.1:"+port+" answers 503")
	if hits.Load() != 0 {
		t.Errorf("[::1] was asked %d times after 127.0.0.1 had answered", hits.Load())
	}
}

func TestRedirectIsUnhealthyAndNotFollowed(t *testing.T) {
	var hits atomic.Int32
	next := serveFunc(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, next.URL+"/login?token=hunter2", code)
		})
		exit, out := probed(t, limit, []string{"-url", s.URL}, nil)
		wantSick(t, exit, out, fmt.Sprint("answers ", code), "a redirect to "+next.URL+"/login: not followed")
		if strings.Contains(out, "hunter2") {
			t.Errorf("output %q shows the query", out)
		}
	}
	s := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) })
	exit, out := probed(t, limit, []string{"-url", s.URL}, nil)
	wantSick(t, exit, out, "answers 304 Not Modified")
	if hits.Load() != 0 {
		t.Errorf("%d redirects were followed", hits.Load())
	}
}

func TestUnixSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", file)
	harness.Must(t, err)
	asked := make(chan string, 1)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI
		io.WriteString(w, healthy)
	})}
	go s.Serve(l)
	defer s.Close()
	for _, row := range []struct{ path, want string }{
		{":/health", "/health"},
		{":/a%20b?c=:/d", "/a%20b?c=:/d"},
		{"", "/"},
	} {
		code, out := probed(t, limit, []string{"-url", "unix://" + file + row.path, "-component", "accountservice"}, nil)
		wantHealthy(t, code, out)
		if got := <-asked; got != row.want {
			t.Errorf("%q asks %q, want %q", row.path, got, row.want)
		}
	}

	code, out := probed(t, limit, []string{"-url", "unix://" + file + ".not:/health"}, nil)
	wantSick(t, code, out, "there is no socket "+file+".not")
}

func TestSocketWhoseOwnerDied(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: file, Net: "unix"})
	harness.Must(t, err)
	l.SetUnlinkOnClose(false)
	l.Close()
	code, out := probed(t, limit, []string{"-url", "unix://" + file + ":/health"}, nil)
	wantSick(t, code, out, "nothing listens on "+file)
}

func TestTLSPeerWithoutATrustedCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	defer s.Close()
	code, out := probed(t, limit, []string{"-url", s.URL}, nil)
	wantSick(t, code, out, "certificate of 127.0.0.1:", "is not accepted")
}

func TestPlainPeerAskedForTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = quiet()
	s.Start()
	defer s.Close()
	code, out := probed(t, limit, []string{"-url", strings.Replace(s.URL, "http", "https", 1)}, nil)
	wantSick(t, code, out, "does not speak TLS")
}

func TestPeerThatEndsTheHandshake(t *testing.T) {
	addr := peer(t, says(""))
	code, out := probed(t, limit, []string{"-url", "https://" + addr.String()}, nil)
	wantSick(t, code, out, addr.String()+" closed the connection during the TLS handshake")
}

func TestPeerThatWantsAClientCertificate(t *testing.T) {
	leaf, ca := harness.Certificate(t)
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS, s.Config.ErrorLog = &tls.Config{Certificates: []tls.Certificate{leaf}, ClientAuth: tls.RequireAnyClientCert}, quiet()
	s.StartTLS()
	defer s.Close()
	code, out := executed(t, []string{"SSL_CERT_FILE=" + ca}, "-url", s.URL)
	wantSick(t, code, out, "no answer from 127.0.0.1:", "certificate required")
}

func TestSocketWhoseQueueIsFull(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", file)
	harness.Must(t, err)
	emptyQueue(t, l)
	for range 20 {
		c, err := net.Dial("unix", file)
		if err != nil {
			break
		}
		defer c.Close()
	}
	code, out := probed(t, limit, []string{"-url", "unix://" + file + ":/health"}, nil)
	wantSick(t, code, out, file+" takes no more connections: its queue is full")
}

func TestUnknownHost(t *testing.T) {
	code, out := probed(t, limit, []string{"-url", "http://nobody.invalid/"}, nil)
	wantSick(t, code, out, "nobody.invalid")
}

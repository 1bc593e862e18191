package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/tests/harness"
)

func TestVerdictOnAnAnswer(t *testing.T) {
	anyURL, named := []string{"-url"}, []string{"-component=vip", "-url"}
	for name, row := range map[string]struct {
		args  []string // before the URL; none: -port
		code  int
		body  string
		words []string // none: healthy
	}{
		"ok":                         {nil, 200, healthy, nil},
		"partially available":        {nil, 200, degraded, nil},
		"other 2xx":                  {nil, 206, healthy, nil},
		"unavailable":                {nil, 503, sick, []string{"Unavailable: bolt (restart): file replaced; another (degrade): refused; disk (degrade): nearly full\n"}},
		"unavailable with 200":       {nil, 200, sick, []string{"Unavailable: bolt (restart): file replaced"}},
		"unknown status":             {nil, 200, strings.Replace(healthy, "OK", "Fine", 1), []string{`its status is "Fine"`}},
		"ok with 503":                {nil, 503, healthy, []string{"answers 503 Service Unavailable"}},
		"health-go alone":            {nil, 503, `{"status":"Unavailable","failures":{"b":"two","a":"one"},"component":{"name":"accountservice"}}`, []string{"Unavailable: a: one; b: two\n"}},
		"text only at the check":     {nil, 503, `{"status":"Unavailable","component":{"name":"accountservice"},"checks":{"bolt":{"status":"hung","on_failure":"restart"}}}`, []string{"bolt (restart): hung"}},
		"other component":            {nil, 200, `{"status":"OK","component":{"name":"vipservice"}}`, []string{`answer is from "vipservice", not accountservice`}},
		"other component, sick":      {nil, 503, `{"status":"Unavailable","component":{"name":"vipservice"}}`, []string{`answer is from "vipservice", not accountservice`}},
		"no component":               {nil, 200, `{"status":"OK"}`, []string{"names no component"}},
		"not JSON":                   {nil, 200, "<html>It works!</html>", []string{"answers 200 OK, but not with accountservice's health JSON"}},
		"JSON and more":              {nil, 200, healthy + "x", []string{"not with accountservice's health JSON"}},
		"no object":                  {nil, 200, "[]", []string{"not with accountservice's health JSON"}},
		"null":                       {nil, 200, "null", []string{"names no component"}},
		"nothing":                    {nil, 204, "", []string{"answers 204 No Content"}},
		"not found":                  {nil, 404, "no such page", []string{"answers 404 Not Found\n"}},
		"problem details":            {nil, 503, `{"title":"Unavailable","status":503,"detail":"starting"}`, []string{"answers 503 Service Unavailable: starting\n"}},
		"control characters":         {nil, 503, `{"status":"Unavailable","failures":{"a\nb":"x\r\n\u001b[31my\u202e\u0000z"},"component":{"name":"accountservice"}}`, []string{"a b: x [31my z\n"}},
		"unauthorized, without JSON": {nil, 401, "", []string{"answers 401 Unauthorized"}},

		"any url":                     {anyURL, 200, "pong", nil},
		"any url, nothing":            {anyURL, 204, "", nil},
		"any url, sick":               {anyURL, 200, sick, nil},
		"any url, 500":                {anyURL, 500, "", []string{"answers 500 Internal Server Error"}},
		"any url, 503":                {anyURL, 503, sick, []string{"Unavailable: bolt (restart): file replaced"}},
		"any url, problem":            {anyURL, 503, `{"status":503}`, []string{"answers 503 Service Unavailable"}},
		"named component":             {named, 200, `{"status":"OK","component":{"name":"vip"}}`, nil},
		"named component, not JSON":   {named, 200, "pong", []string{"not with vip's health JSON"}},
		"named component, other name": {named, 200, healthy, []string{`answer is from "accountservice", not vip`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, row.code, row.body)
			args := append(row.args, s.URL+"/health")
			if row.args == nil {
				args = []string{"-port=" + portOf(t, s.Listener.Addr())}
			}
			code, out := probed(t, limit, args, nil)
			wantVerdict(t, code, out, row.words)
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
		words  []string // none: healthy
	}{
		"until the connection ends": {says(head + "\r\n" + healthy), nil},
		"HTTP/1.0":                  {says("HTTP/1.0 200 OK\r\n\r\n" + healthy), nil},
		"early hints first":         {says("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + head + "\r\n" + healthy), nil},
		"chunks of one byte":        {says(head + "Transfer-Encoding: chunked\r\n\r\n" + chunked(healthy)), nil},
		"exactly 1 MiB":             {says(head + "\r\n" + healthy + strings.Repeat(" ", maxBody-len(healthy))), nil},
		"one byte more":             {says(head + "\r\n" + healthy + strings.Repeat(" ", maxBody-len(healthy)+1)), []string{"longer than 1 MiB"}},
		"endless body":              {endless(head+"\r\n", " "), []string{"longer than 1 MiB"}},
		"endless header":            {endless(head, "X: y\r\n"), []string{"the header of the answer from 127.0.0.1:"}},
		"endless header line":       {endless(head+"X: ", "y"), []string{"the header of the answer from"}},
		"endless hints":             {endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"), []string{"header of the answer from"}},
		"cut short":                 {says(head + "Content-Length: 1000\r\n\r\n" + healthy), []string{"no end of the answer from 127.0.0.1:"}},
		"broken chunks":             {says(head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), []string{"no end of the answer from"}},
		"nothing":                   {says(""), []string{"it closed the connection"}},
		"another protocol":          {says("SSH-2.0-OpenSSH_9.6\r\n"), []string{"malformed HTTP"}},
		"garbage":                   {says("\x00\xff\x1b[2J\n\n\n"), []string{"malformed HTTP"}},
		"reset":                     {func(c net.Conn) { c.Read(make([]byte, 4096)); c.(*net.TCPConn).SetLinger(0) }, []string{"it closed the connection"}},
		"upgrade":                   {says("HTTP/1.1 101 Switching Protocols\r\n\r\n"), []string{"answers 101 Switching Protocols"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := probed(t, 10*limit, []string{"-port", portOf(t, harness.Serve(t, row.handle))}, nil)
			wantVerdict(t, code, out, row.words)
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
	full := harness.FullQueue(t, "tcp4", "127.0.0.1:0")
	own := []string{"ACCOUNTSERVICE_CONFIG=" + t.TempDir()} // no other test has it
	l, err := net.Listen("unix", socketOf(t, own))          // accepts nothing
	harness.Must(t, err)
	defer l.Close()
	at := func(scheme string, handle func(net.Conn)) []string {
		return []string{"-url", scheme + "://" + harness.Serve(t, handle).String()}
	}
	t.Run("steps", func(t *testing.T) {
		for name, row := range map[string]struct {
			args  []string
			words string
		}{
			"connection":      {[]string{"-url", "http://" + full}, "no connection to " + full + " within 300ms\n"},
			"silent peer":     {at("http", harness.Silent), "no answer from 127.0.0.1:"},
			"dripping header": {at("http", drips("HTTP/1.1 200 OK\r\nX: ", "x")), "no answer from 127.0.0.1:"},
			"dripping body":   {at("http", drips("HTTP/1.1 200 OK\r\n\r\n", " ")), "no end of the answer from 127.0.0.1:"},
			"silent at TLS":   {at("https", harness.Silent), "no TLS handshake with 127.0.0.1:"},
			"own socket":      {nil, "no answer from @accountservice/pid:["},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				start := time.Now()
				code, out := probed(t, soon, row.args, own)
				wantSick(t, code, out, row.words, " within 300ms\n")
				if took := time.Since(start); took < soon || took > hang {
					t.Errorf("took %v, want %v", took, soon)
				}
			})
		}
	})
}

func TestHangThatKnowsNoDeadlineEndsToo(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	err := within(soon, func(context.Context) error { <-release; return nil })
	if got, want := fmt.Sprint(err), "the probe came to no verdict within 300ms"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestIPv6LoopbackIsAskedOnlyWhenIPv4Refuses(t *testing.T) {
	l6, port := listen6(t)
	asked := make(chan string, 1)
	six := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Host
		io.WriteString(w, healthy)
	})}
	go six.Serve(l6)
	defer six.Close()
	code, out := probed(t, limit, []string{"-port=" + port}, nil)
	wantHealthy(t, code, out)
	if host := <-asked; host != "[::1]:"+port {
		t.Errorf("Host is %q, want [::1]:%s", host, port)
	}

	l4, err := net.Listen("tcp4", "127.0.0.1:"+port)
	harness.Must(t, err)
	four := &http.Server{Handler: http.NotFoundHandler()}
	go four.Serve(l4)
	defer four.Close()
	code, out = probed(t, limit, []string{"-port=" + port}, nil)
	wantSick(t, code, out, "127.0.0.1:"+port+" answers 404")
	if len(asked) > 0 {
		t.Error("[::1] was asked after 127.0.0.1 had answered")
	}
}

func TestRedirectIsUnhealthyAndNotFollowed(t *testing.T) {
	var hits atomic.Int32
	next := serveFunc(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	for _, code := range []int{301, 302, 303, 304, 307, 308} {
		s := serveFunc(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, next.URL, code) })
		exit, out := probed(t, limit, []string{"-url", s.URL}, nil)
		wantSick(t, exit, out, fmt.Sprint("answers ", code), "redirects are not followed")
	}
	if hits.Load() != 0 {
		t.Errorf("%d redirects were followed", hits.Load())
	}
}

func TestUnixSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.sock")
	asked := make(chan string, 1)
	serveOn(t, file, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI
		io.WriteString(w, healthy)
	})
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
}

func TestPeerThatCannotBeAsked(t *testing.T) {
	dead, full := filepath.Join(t.TempDir(), "dead.sock"), filepath.Join(t.TempDir(), "full.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	harness.Must(t, err)
	l.SetUnlinkOnClose(false)
	l.Close()
	harness.FullQueue(t, "unix", full)
	plain := serve(t, 200, healthy)
	plain.Config.ErrorLog = quiet()
	port := refusedPort(t)
	for name, row := range map[string]struct {
		args  []string
		words []string
	}{
		"nobody listens":          {[]string{"-port", port}, []string{"nothing listens on 127.0.0.1:" + port}},
		"no such host":            {[]string{"-url", "http://nobody.invalid/"}, []string{"nobody.invalid"}},
		"no such socket":          {[]string{"-url", "unix:///no/socket"}, []string{"no connection to /no/socket: ", "no such file"}},
		"its owner died":          {[]string{"-url", "unix://" + dead}, []string{"nothing listens on " + dead}},
		"its queue is full":       {[]string{"-url", "unix://" + full}, []string{full + " takes no more connections: its queue is full"}},
		"no TLS":                  {[]string{"-url", strings.Replace(plain.URL, "http", "https", 1)}, []string{"does not look like a TLS handshake"}},
		"an end of the handshake": {[]string{"-url", "https://" + harness.Serve(t, says("")).String()}, []string{"no TLS handshake with 127.0.0.1:", ": it closed the connection"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := probed(t, limit, row.args, nil)
			wantSick(t, code, out, row.words...)
		})
	}
}

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// A case is how the service is asked, and the code and the body of its answer.
func TestVerdictOnAnAnswer(t *testing.T) {
	harness.Cases(t, "testdata/answers.txt", func(t *testing.T, lines []string) string {
		code, err := strconv.Atoi(lines[1])
		harness.Must(t, err)
		s := serve(t, code, lines[2])
		addr := s.Listener.Addr()
		args := append(strings.Fields(lines[0]), s.URL+"/health")
		if lines[0] == "-port" {
			args[1] = portOf(t, addr)
		}
		v := probed(limit, args, nil)
		if v.code == 0 {
			v.healthy(t)
			return ""
		}
		return strings.ReplaceAll(strings.TrimSuffix(v.sick(t), "\n"), addr.String(), "ADDR")
	})
}

func TestURLIsAskedAsItStands(t *testing.T) {
	asked := make(chan *http.Request, 1)
	s := serveFunc(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r })
	address := s.Listener.Addr().String()
	probed(limit, []string{"-url", "http://me:s%40cret@" + address + "/a%2Fb?c=d%20e f#f"}, nil).healthy(t)

	r := <-asked
	if r.Method != "GET" || r.RequestURI != "/a%2Fb?c=d%20e%20f" || r.Host != address || !r.Close {
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
		"until the connection ends":   {says(head + "\r\n" + healthy), nil},
		"HTTP/1.0":                    {says("HTTP/1.0 200 OK\r\n\r\n" + healthy), nil},
		"early hints first":           {says("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + head + "\r\n" + healthy), nil},
		"chunks that end in trailers": {says(head + "Transfer-Encoding: Chunked\r\n\r\n" + "5;x=y\r\n" + healthy[:5] + "\r\n" + chunkOf(healthy[5:]) + "0\r\nX: y\r\n\r\n"), nil},
		"a chunk too large":           {says(head + "Transfer-Encoding: chunked\r\n\r\n7fffffff\r\n" + strings.Repeat(" ", maxBody+1)), []string{"longer than 1 MiB"}},
		"a chunk beyond its size":     {says(head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"), []string{"no end of the answer from", "malformed chunk"}},
		"chunks cut short":            {says(head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{}"), []string{"no end of the answer from", "closed the connection"}},
		"a length that is none":       {says(head + "Content-Length: -1\r\n\r\n" + healthy), []string{"no answer from", "malformed HTTP"}},
		"a length of 1 TiB":           {says(head + "Content-Length: 1099511627776\r\n\r\n" + strings.Repeat(" ", maxBody+1)), []string{"longer than 1 MiB"}},
		"no reason":                   {says("HTTP/1.1 200\r\n\r\n" + healthy), nil},
		"no body":                     {says("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), []string{"answers 304 Not Modified"}},
		"a code of two digits":        {says("HTTP/1.1 20 OK\r\n\r\n" + healthy), []string{"malformed HTTP"}},
		"a header without a colon":    {says("HTTP/1.1 200 OK\r\nX\r\n\r\n" + healthy), []string{"no answer from"}},
		"HTTP/2":                      {says("HTTP/2.0 200 OK\r\n\r\n" + healthy), []string{"malformed HTTP"}},
		"chunks of one byte":          {says(head + "Transfer-Encoding: chunked\r\n\r\n" + chunked(healthy)), nil},
		"exactly 1 MiB":               {says(head + "\r\n" + healthy + strings.Repeat(" ", maxBody-len(healthy))), nil},
		"one byte more":               {says(head + "\r\n" + healthy + strings.Repeat(" ", maxBody-len(healthy)+1)), []string{"longer than 1 MiB"}},
		"endless body":                {endless(head+"\r\n", " "), []string{"longer than 1 MiB"}},
		"endless header":              {endless(head, "X: y\r\n"), []string{"the header of the answer from 127.0.0.1:"}},
		"endless header line":         {endless(head+"X: ", "y"), []string{"the header of the answer from"}},
		"endless hints":               {endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"), []string{"header of the answer from"}},
		"cut short":                   {says(head + "Content-Length: 1000\r\n\r\n" + healthy), []string{"no end of the answer from 127.0.0.1:"}},
		"broken chunks":               {says(head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), []string{"no end of the answer from"}},
		"nothing":                     {says(""), []string{"it closed the connection"}},
		"another protocol":            {says("SSH-2.0-OpenSSH_9.6\r\n"), []string{"malformed HTTP"}},
		"garbage":                     {says("\x00\xff\x1b[2J\n\n\n"), []string{"malformed HTTP"}},
		"reset":                       {func(c net.Conn) { c.Read(make([]byte, 4096)); c.(*net.TCPConn).SetLinger(0) }, []string{"it closed the connection"}},
		"upgrade":                     {says("HTTP/1.1 101 Switching Protocols\r\n\r\n"), []string{"answers 101 Switching Protocols"}},
	} {
		t.Run(name, func(t *testing.T) {
			probed(10*limit, []string{"-port", portOf(t, harness.Serve(t, row.handle))}, nil).is(t, row.words)
		})
	}
}

func chunkOf(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

func chunked(body string) string {
	var b strings.Builder
	for i := range body {
		b.WriteString(chunkOf(body[i : i+1]))
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
				probed(soon, row.args, own).sick(t, row.words, " within 300ms\n")
				if took := time.Since(start); took < soon || took > hang {
					t.Errorf("took %v, want %v", took, soon)
				}
			})
		}
	})
}

func TestHangThatKnowsNoDeadlineEndsToo(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary)
	cmd.Env = processEnv(t, asHangingProbe)
	ended(t, cmd).sick(t, "the probe came to no verdict within 300ms\n")
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
	probed(limit, []string{"-port=" + port}, nil).healthy(t)
	if host := <-asked; host != "[::1]:"+port {
		t.Errorf("Host is %q, want [::1]:%s", host, port)
	}

	l4, err := net.Listen("tcp4", "127.0.0.1:"+port)
	harness.Must(t, err)
	four := &http.Server{Handler: http.NotFoundHandler()}
	go four.Serve(l4)
	defer four.Close()
	probed(limit, []string{"-port=" + port}, nil).sick(t, "127.0.0.1:"+port+" answers 404")
	if len(asked) > 0 {
		t.Error("[::1] was asked after 127.0.0.1 had answered")
	}
}

func TestRedirectIsUnhealthyAndNotFollowed(t *testing.T) {
	var hits atomic.Int32
	next := serveFunc(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	for _, code := range []int{301, 302, 303, 304, 307, 308} {
		s := serveFunc(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, next.URL, code) })
		probed(limit, []string{"-url", s.URL}, nil).sick(t, fmt.Sprint("answers ", code), "redirects are not followed")
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
		probed(limit, []string{"-url", "unix://" + file + row.path, "-component", "accountservice"}, nil).healthy(t)
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
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = quiet()
	alerts := harness.Serve(t, says("\x15\x03\x01\x00\x02\x02\x46"))
	nginx := serve(t, 400, "<center>The plain HTTP request was sent to HTTPS port</center>")
	const tls = " speaks TLS, and was asked in plain HTTP: use -url https://"
	for name, row := range map[string]struct {
		args  []string
		words []string
	}{
		"TLS of Go":               {[]string{"-port", portOf(t, secure.Listener.Addr())}, []string{tls}},
		"TLS of nginx":            {[]string{"-url", nginx.URL + "/health"}, []string{tls}},
		"TLS that sends an alert": {[]string{"-url", "http://" + alerts.String()}, []string{tls}},
		"nobody listens":          {[]string{"-port", port}, []string{"nothing listens on 127.0.0.1:" + port}},
		"no such host":            {[]string{"-url", "http://nobody.invalid/"}, []string{"nobody.invalid"}},
		"no such socket":          {[]string{"-url", "unix:///no/socket"}, []string{"no connection to /no/socket: ", "no such file"}},
		"its owner died":          {[]string{"-url", "unix://" + dead}, []string{"nothing listens on " + dead}},
		"its queue is full":       {[]string{"-url", "unix://" + full}, []string{full + " takes no more connections: its queue is full"}},
		"no TLS":                  {[]string{"-url", strings.Replace(plain.URL, "http", "https", 1)}, []string{plain.Listener.Addr().String() + " does not speak TLS: if it speaks plain HTTP, use -url http://"}},
		"an end of the handshake": {[]string{"-url", "https://" + harness.Serve(t, says("")).String()}, []string{"no TLS handshake with 127.0.0.1:", ": it closed the connection"}},
	} {
		t.Run(name, func(t *testing.T) { probed(limit, row.args, nil).sick(t, row.words...) })
	}
}

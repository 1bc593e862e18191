package handlers_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

const ndjson = "application/x-ndjson"

// lines are n lines of an import; those that spoil names are replaced.
func lines(n int, spoil map[int]string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		line, bad := spoil[i]
		if !bad {
			line = fmt.Sprintf(`{"id":"n%05d","name":"N","labels":{"pad":"%s"},"version":7}`, i, strings.Repeat("x", 200))
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func (s service) importLines(t *testing.T, query, body string) reply {
	t.Helper()
	return s.do(t, "POST", "/accounts:import"+query, body, "Content-Type", ndjson)
}

// exported is how many accounts there are.
func (s service) exported(t *testing.T) int {
	t.Helper()
	return strings.Count(s.do(t, "GET", "/accounts:export", "").body, "\n")
}

// has fails the test unless there are n accounts.
func (s service) has(t *testing.T, n int) {
	t.Helper()
	if got := s.exported(t); got != n {
		t.Errorf("%d accounts, want %d", got, n)
	}
}

func TestImportComesOutOfTheExport(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	before := s.do(t, "GET", "/accounts:export", "").body
	body := lines(4500, nil)
	if len(body) <= 1<<20 {
		t.Fatal("the body is not longer than MaxBody")
	}
	for i, want := range []handlers.ImportCount{{Created: 4500, Lines: 4500}, {Unchanged: 4500, Lines: 4500}} {
		var got handlers.ImportCount
		if s.importLines(t, "", body).is(t, 200, &got); got != want {
			t.Errorf("import %d: %+v, want %+v", i+1, got, want)
		}
	}
	r := s.do(t, "GET", "/accounts:export", "")
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != ndjson || !strings.HasPrefix(r.body, before) || strings.Count(r.body, `"version":7`) != 4500 {
		t.Errorf("export = %d %s of %d bytes", r.StatusCode, r.Header.Get("Content-Type"), len(r.body))
	}
	digest := sha256.Sum256([]byte(r.body))
	if want := "sha-256=:" + base64.StdEncoding.EncodeToString(digest[:]) + ":"; r.Trailer.Get("Content-Digest") != want {
		t.Errorf("trailer %v, want %s", r.Trailer, want)
	}
	var again handlers.ImportCount
	if serve(t, nil).importLines(t, "", r.body).is(t, 200, &again); again.Lines != 4600 || again.Created != 4500 {
		t.Errorf("the export as import: %+v", again)
	}
}

func TestImportNamesFaultyLinesAndWhatIsStored(t *testing.T) {
	s := serve(t, nil)
	body := lines(3000, map[int]string{1200: `{"id":"a","name":"x","email":"hunter2"}`, 1300: `{"id":"b"}`, 2500: "{"})
	p := s.importLines(t, "", body).isProblem(t, 422)
	want := []handlers.InvalidField{{Line: 1200, Pointer: "#/email"}, {Line: 1300, Pointer: "#/name"}}
	if len(p.Errors) != len(want) || p.Imported == nil || *p.Imported != (handlers.ImportCount{Created: 1000, Lines: 1000}) ||
		!strings.Contains(p.Detail, "The lines before 1001 are stored, none from there on.") {
		t.Fatalf("%+v", p)
	}
	for i, e := range p.Errors {
		if e.Line != want[i].Line || e.Pointer != want[i].Pointer || e.Detail == "" || strings.Contains(e.Detail, "hunter2") {
			t.Errorf("%+v, want %+v", e, want[i])
		}
	}
	s.has(t, 1100)
}

func TestDryRunNamesAllFaultsAndChangesNothing(t *testing.T) {
	s := serve(t, nil)
	p := s.importLines(t, "?dry_run=true", lines(3000, map[int]string{1200: "{", 2500: "{"})).isProblem(t, 422)
	if len(p.Errors) != 2 || p.Errors[0].Line != 1200 || p.Errors[1].Line != 2500 || !strings.Contains(p.Detail, "Nothing was changed") {
		t.Errorf("%+v", p)
	}
	var got handlers.ImportCount
	mixed := lines(1500, map[int]string{3: `{"id":"10000","name":"Person_0"}`, 4: `{"id":"10001","name":"Other"}`})
	if s.importLines(t, "?dry_run=true", mixed).is(t, 200, &got); got != (handlers.ImportCount{Created: 1498, Replaced: 1, Unchanged: 1, Lines: 1500}) {
		t.Errorf("%+v", got)
	}
	s.has(t, 100)
}

// after fails with err when it was called n times.
func after(n int64, err error) storetest.Fault {
	left := &atomic.Int64{}
	left.Store(n)
	return func(context.Context) error {
		if left.Add(-1) < 0 {
			return err
		}
		return nil
	}
}

func TestImportThatTheStoreEndsSaysHowFarItWent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		status int
		kind   string
		detail string
	}{
		"full disk":       {store.ErrNoSpace, 507, "/problems/no-space", "The lines before 2001 are stored, none from there on. Repeating the whole import is safe."},
		"failed store":    {store.ErrUnavailable, 503, "/problems/unavailable", "The lines before 2001 are stored, none from there on."},
		"unknown outcome": {fmt.Errorf("%w: fsync", store.ErrOutcomeUnknown), 503, "/problems/outcome-unknown", "The lines before 2001 are stored, those from there to 3000 may be."},
		"bug":             {errors.New("secret"), 500, "", "The lines before 2001 are stored"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(real store.Store) store.Store { return storetest.Faulty{Store: real, OnImport: after(2, c.err)} })
			r := s.importLines(t, "", lines(4000, nil))
			p := r.isProblem(t, c.status)
			if p.Type != c.kind || !strings.HasPrefix(p.Detail, c.detail) || p.Imported == nil || p.Imported.Lines != 2000 || strings.Contains(r.body, "secret") {
				t.Errorf("%s", r.body)
			}
			if (c.status == 503 || c.status == 507) != (r.Header.Get("Retry-After") != "") {
				t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
			}
			s.has(t, 2100)
		})
	}
}

func TestExportThatFailsIsNeverTakenAsWhole(t *testing.T) {
	var list storetest.Fault
	s := serve(t, func(real store.Store) store.Store {
		return storetest.Faulty{Store: real, OnList: func(ctx context.Context) error { return list(ctx) }}
	})
	list = after(0, store.ErrUnavailable)
	s.do(t, "GET", "/accounts:export", "").isProblem(t, 503)
	s.do(t, "HEAD", "/accounts:export", "").isProblem(t, 503)
	s.importLines(t, "", lines(3000, nil)).is(t, 200, &handlers.ImportCount{})
	list = after(2, fmt.Errorf("%w: %w", store.ErrUnavailable, io.EOF)) // of the database file
	resp, err := http.Get(s.URL + "/accounts:export")
	harness.Must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || !errors.Is(err, io.ErrUnexpectedEOF) || resp.Trailer.Get("Content-Digest") != "" {
		t.Errorf("%d, %v, %v after %d bytes, want a cut", resp.StatusCode, err, resp.Trailer, len(body))
	}
}

func TestExportNeedsAProtocolThatMarksTheEnd(t *testing.T) {
	s := serve(t, nil)
	answer, err := io.ReadAll(s.dial(t, "GET /accounts:export HTTP/1.0\r\nHost: x\r\n\r\n"))
	if err != nil || !bytes.Contains(answer, []byte(" 505 ")) || bytes.Contains(answer, []byte("Person_0")) {
		t.Errorf("%s, %v", answer, err)
	}
	if log := s.log.String(); strings.Contains(log, "request failed") {
		t.Errorf("a client's protocol is logged as a failure of the service: %s", log)
	}
}

// begun sends the header and the first lines of an import that stays open.
func begun(t *testing.T, s service, path, body string) net.Conn {
	t.Helper()
	const header = "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 99999999\r\n\r\n%s"
	return s.dial(t, fmt.Sprintf(header, path, ndjson, body))
}

func TestImportEndsWhenTheServiceIsToldToStop(t *testing.T) {
	stopping, stop := context.WithCancel(t.Context())
	s := serveWith(t, nil, func(o *handlers.Options) { o.Stopping = stopping })
	conn := begun(t, s, "/accounts:import", lines(1500, nil))
	// after the first batch; the second waits for more lines
	if !harness.Until(20*time.Second, func() bool { return s.exported(t) == 1100 }) {
		t.Fatalf("%d accounts", s.exported(t))
	}
	stop()
	r := answerOn(t, conn, "POST")
	p := r.isProblem(t, 503)
	if p.Type != "/problems/stopping" || p.Imported == nil || p.Imported.Lines != 1000 || r.Header.Get("Retry-After") == "" ||
		!strings.Contains(p.Detail, "before 1001 are stored, none from there on") {
		t.Errorf("%s", r.body)
	}
	s.has(t, 1100)
}

// ending is an import whose last bytes come when the service is told to stop, and its connection, which is slow to end the
// read then.
type ending struct {
	*httptest.ResponseRecorder
	io.Reader
	stop  func()
	asked chan struct{}
	set   atomic.Bool
}

func (e *ending) Read(p []byte) (int, error) {
	e.stop()
	<-e.asked
	return e.Reader.Read(p)
}

func (e *ending) SetReadDeadline(at time.Time) error {
	if at.Equal(time.Unix(1, 0)) {
		close(e.asked)
		time.Sleep(time.Second) // of a synctest bubble
		e.set.Store(true)
	}
	return nil
}

// A response of net/http must not be used after its handler: over HTTP/2 that would end the process.
func TestStopDoesNotUseTheConnectionOfAnImportThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopping, stop := context.WithCancel(t.Context())
		opts := over(store.Unavailable("never to be asked"))
		opts.Stopping = stopping
		e := &ending{ResponseRecorder: httptest.NewRecorder(), Reader: strings.NewReader(lines(1, nil)), stop: stop,
			asked: make(chan struct{})}
		req := httptest.NewRequest("POST", "/accounts:import", e)
		req.Header.Set("Content-Type", ndjson)
		handlers.New(opts).ServeHTTP(e, req)
		if !e.set.Load() {
			t.Error("the request has ended before its connection is let go")
		}
	})
}

// Over HTTP/2 a timeout that has passed once cannot be taken back.
func TestImportOverHTTP2ThatWaitsForTheStoreLongerThanItsReadTimeoutIsRead(t *testing.T) {
	t.Parallel()
	opts := overNothing()
	opts.Hold = time.Minute
	const timeout = 2 * time.Second // of the handshake, too
	server := httptest.NewUnstartedServer(handlers.New(opts))
	server.EnableHTTP2, server.Config.ReadTimeout = true, timeout
	server.StartTLS()
	defer server.Close()
	accounts := serve(t, nil).store
	body, in := io.Pipe()
	go func() {
		io.WriteString(in, lines(1, nil))
		time.Sleep(timeout + time.Second) // until it has passed
		opts.Live.Serve(handlers.Parts{Store: accounts})
		io.WriteString(in, lines(2, nil))
		in.Close()
	}()
	resp, err := server.Client().Post(server.URL+"/accounts:import", ndjson, body)
	harness.Must(t, err)
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("%s %d %s, %v; want 200", resp.Proto, resp.StatusCode, text, err)
	}
}

func TestBodyThatBreaksOffLeavesWholeBatches(t *testing.T) {
	s := serve(t, nil)
	conn := begun(t, s, "/accounts:import", lines(1500, nil))
	conn.(*net.TCPConn).CloseWrite()
	p := answerOn(t, conn, "POST").isProblem(t, 400)
	if p.Imported == nil || p.Imported.Lines != 1000 || !strings.HasPrefix(p.Detail, "The body could not be read to its end. The lines before 1001 are stored") {
		t.Errorf("%+v", p)
	}
	s.has(t, 1100)
}

func TestStreamsAreFewAndImportsKeepNoExportOut(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	if !harness.Until(20*time.Second, func() bool {
		begun(t, s, "/accounts:import?dry_run=true", "")
		return s.importLines(t, "", "").StatusCode == 429
	}) {
		t.Fatal("never refused")
	}
	r := s.importLines(t, "", lines(1, nil))
	if r.isProblem(t, 429); r.Header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After")
	}
	for _, path := range []string{"/accounts:export", "/accounts/10000"} {
		if r := s.do(t, "GET", path, ""); r.StatusCode != 200 {
			t.Errorf("%s = %d", path, r.StatusCode)
		}
	}
}

// net/http alone would read 256 KiB, and then reset the connection under the client.
func TestClientThatSendsAllBeforeItReadsLearnsWhyItsImportEnded(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	body := "{\n" + strings.Repeat(lines(1, nil), 50_000) // some 12 MB
	sends := func(query, header string) reply {
		t.Helper()
		const begin = "POST /accounts:import%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n\r\n"
		in := bufio.NewReader(s.dial(t, fmt.Sprintf(begin, query, len(body), header)+body))
		for {
			resp, err := http.ReadResponse(in, &http.Request{Method: "POST", URL: &url.URL{}})
			harness.Must(t, err)
			if resp.StatusCode != http.StatusContinue {
				return read(t, resp)
			}
		}
	}
	const media = "Content-Type: " + ndjson
	for _, header := range []string{media, media + "\r\nExpect: 100-continue"} {
		if p := sends("", header).isProblem(t, 422); len(p.Errors) != 1 || p.Errors[0].Line != 1 {
			t.Errorf("with %q: %+v", header, p)
		}
	}
	sends("", "Content-Type: text/plain").isProblem(t, 415)
	if p := sends("?dry_run=yes", media).isProblem(t, 422); len(p.Errors) != 1 || p.Errors[0].Parameter != "dry_run" {
		t.Errorf("%+v", p)
	}
	for range 2 {
		begun(t, s, "/accounts:import?dry_run=true", "")
	}
	if !harness.Until(20*time.Second, func() bool { return s.importLines(t, "", "").StatusCode == 429 }) {
		t.Fatal("never refused")
	}
	if p := sends("", media).isProblem(t, 429); p.Type != "/problems/too-many-streams" {
		t.Errorf("%+v", p)
	}
}

func TestImportThatHasEndedKeepsNoOtherOut(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for range 2 {
		begun(t, s, "/accounts:import", "{\n"+lines(1000, nil)) // a whole batch
	}
	const soon = 3 * time.Second // the rest of a body is waited for longer
	if !harness.Until(soon, func() bool { return s.importLines(t, "", lines(1, nil)).StatusCode == 200 }) {
		t.Error("its place is taken")
	}
}

// An export takes no body, and net/http waits for one before the first byte of the answer.
func TestExportWaitsForNoBodyThatDoesNotCome(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	const head = "GET /accounts:export HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
	conn := s.dial(t, head)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	answerOn(t, conn, "GET").isProblem(t, 408)
	if r := s.raw(t, "GET", head+"{}"); r.StatusCode != 200 {
		t.Errorf("with its body: %s", r.Status)
	}
}

// gone is a connection whose client takes nothing more.
type gone struct{ *httptest.ResponseRecorder }

func (*gone) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func TestClientThatIsTooSlowIsNoFailureOfOurs(t *testing.T) {
	s := serve(t, nil)
	var log harness.Buffer
	conn := &gone{httptest.NewRecorder()}
	defer func() {
		if v := recover(); v != http.ErrAbortHandler || log.String() == "" || strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("%v, and in the log: %s", v, log.String())
		}
	}()
	opts := over(s.store)
	opts.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	handlers.New(opts).ServeHTTP(conn, httptest.NewRequest("GET", "/accounts:export", nil))
}

package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
	"accountservice/tests/harness"
)

var accounts = []store.Account{{ID: "a", Draft: store.Draft{Name: "x"}}}

func newClient(t *testing.T, address string) *Client {
	t.Helper()
	c, err := New(address, "")
	harness.Must(t, err)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

func TestAddressMustBeThatOfAService(t *testing.T) {
	for _, address := range []string{
		"", "localhost:6767", "ftp://hunter2@h", "http://", "http://h?hunter2", "http://h#hunter2", "http://hunter2\x7f",
	} {
		if _, err := New(address, ""); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want an error that does not repeat it", address, err)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	other := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/accounts:import", http.StatusTemporaryRedirect)
	})
	_, imported := Importer{Client: newClient(t, server.URL)}.Import(t.Context(), accounts)
	exported := newClient(t, server.URL).Export(t.Context(), io.Discard, Retry{})
	for _, err := range []error{imported, exported} {
		if want := "307 Temporary Redirect is not followed to " + other.URL; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// escape would clear a terminal.
const escape = "\x1b[2J"

func TestWordsOfAServerCannotControlATerminal(t *testing.T) {
	t.Parallel()
	problem := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, `{"title":"t\u001b[2J","detail":"d\u001b[2J\nd\u009b",`+
				`"errors":[{"line":1,"pointer":"#/\u001b[2J","detail":"is\u001b[2J"}]}`)
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"a refusal":      problem(403),
		"faults":         problem(422),
		"a digest":       func(w http.ResponseWriter, _ *http.Request) { digest(w, "{}\n", escape) },
		"a media type":   func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "x/y;"+escape) },
		"lines":          func(w http.ResponseWriter, _ *http.Request) { digest(w, escape, "") },
		"a status line":  raw("HTTP/1.1 403 " + escape + "\r\nContent-Length: 0\r\n\r\n"),
		"no status line": raw(escape + "\r\n\r\n"),
		"a redirect":     raw("HTTP/1.1 307 x\r\nLocation: http://\u009b[2J/\r\nContent-Length: 0\r\n\r\n"),
	} {
		c := newClient(t, serve(t, h).URL)
		var out bytes.Buffer
		exported := c.Export(t.Context(), &out, Retry{})
		stop := make(chan struct{})
		close(stop)
		_, imported := Importer{Client: c, Retry: Retry{Stop: stop}}.Import(t.Context(), accounts)
		for _, err := range []error{exported, imported} {
			if err == nil || strings.ContainsAny(err.Error(), "\x1b\u009b\n") {
				t.Errorf("%s: %q", name, err)
			}
			var rejected *transfer.Rejected
			if errors.As(err, &rejected) && strings.Contains(rejected.Faults[0].Pointer+rejected.Faults[0].Detail, "\x1b") {
				t.Errorf("%s: %v", name, rejected)
			}
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: %q was written", name, out.String())
		}
	}
}

func TestImportAsksOnceWhereTheCertificateIsNotTrusted(t *testing.T) {
	t.Parallel()
	served := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	unknown, plain := httptest.NewUnstartedServer(served), httptest.NewServer(served)
	unknown.Config.ErrorLog = log.New(io.Discard, "", 0)
	unknown.StartTLS()
	defer unknown.Close()
	defer plain.Close()
	for address, want := range map[string]string{
		unknown.URL: "SSL_CERT_FILE",
		strings.Replace(plain.URL, "http:", "https:", 1): "server gave HTTP response to HTTPS client",
	} {
		to := Importer{Client: newClient(t, address), Retry: Retry{
			Retrying: func(cause error, _ time.Duration) { t.Errorf("asks again after %v", cause) }}}
		if _, err := to.Import(t.Context(), accounts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

// digest answers an export with this trailer.
func digest(w http.ResponseWriter, lines, sum string) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Trailer", "Content-Digest")
	io.WriteString(w, lines)
	w.Header().Set("Content-Digest", sum)
}

// raw answers with these bytes.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(conn, answer)
		conn.Close()
	}
}

func TestBatchMayBeStoredOnlyIfOneOfItsTriesArrived(t *testing.T) {
	t.Parallel()
	hangUp := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	answer := func(status int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(status) }
	}
	for name, c := range map[string]struct {
		tries   []func(http.ResponseWriter) // then the service is gone
		unknown bool
	}{
		"nobody there":          {nil, false},
		"busy, then gone":       {[]func(http.ResponseWriter){answer(429)}, false},
		"refused":               {[]func(http.ResponseWriter){answer(404)}, false},
		"not foreseen":          {[]func(http.ResponseWriter){answer(500)}, true},
		"no answer, then gone":  {[]func(http.ResponseWriter){hangUp}, true},
		"no answer, then 404":   {[]func(http.ResponseWriter){hangUp, answer(404)}, true},
		"no answer, then fault": {[]func(http.ResponseWriter){hangUp, answer(422)}, true},
		"away, then busy":       {[]func(http.ResponseWriter){answer(503), answer(429)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tries, gone := 0, make(chan struct{})
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if tries++; tries == len(c.tries) {
					defer close(gone)
				}
				c.tries[tries-1](w)
			}))
			server.Config.SetKeepAlivesEnabled(false)
			server.Start()
			defer server.Close()
			if len(c.tries) == 0 {
				server.Listener.Close()
				close(gone)
			}
			stop, retries := make(chan struct{}), 0
			to := Importer{Client: newClient(t, server.URL), Retry: Retry{Stop: stop, Retrying: func(error, time.Duration) {
				select {
				case <-gone:
					server.Listener.Close()
					if retries++; retries == 2 {
						close(stop) // after one try that found nobody
					}
				default:
				}
			}}}
			_, err := to.Import(t.Context(), accounts)
			if err == nil || errors.Is(err, store.ErrOutcomeUnknown) != c.unknown {
				t.Errorf("%v, of an unknown outcome: %t, want %t", err, !c.unknown, c.unknown)
			}
		})
	}
}

const line = `{"id":"a","name":"x"}` + "\n"

func TestExportEndsWhenTheServiceFallsSilentAndNotWhenTheReaderIsSlow(t *testing.T) {
	t.Parallel()
	quiet := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", linesType)
		io.WriteString(w, line)
		http.NewResponseController(w).Flush()
		<-quiet
	}))
	defer server.Close()
	defer close(quiet)
	const silence = time.Second // it begins before the first byte comes, and a busy machine is not silent
	service := newClient(t, server.URL)
	service.http = httpClient(silence)
	var got bytes.Buffer
	slow := writerFunc(func(p []byte) (int, error) {
		time.Sleep(2 * silence)
		return got.Write(p)
	})
	begun := time.Now()
	err := service.Export(t.Context(), slow, Retry{})
	if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || got.String() != line || took < 3*silence {
		t.Errorf("%v after %s, %q", err, took, got.String())
	}
}

// The service resets the connection of a client that takes nothing.
func TestExportThatIsResetSaysThatItsReaderMayHavePaused(t *testing.T) {
	t.Parallel()
	taken := make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", linesType, len(line), line)
		<-taken
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	})
	reader := writerFunc(func(p []byte) (int, error) { close(taken); return len(p), nil })
	err := newClient(t, server.URL).Export(t.Context(), reader, Retry{})
	if !errors.Is(err, syscall.ECONNRESET) || !strings.Contains(err.Error(), "pauses for 10 s or more") {
		t.Errorf("%v, want a reset and what can be its reason", err)
	}
}

func TestBackupIsWaitedForAsLongAsAServiceMayMakeIt(t *testing.T) {
	if service := 30 * time.Minute; copyTimeout <= service { // of boltstore's Backup
		t.Errorf("a client waits for %s, and a service gives up after %s", copyTimeout, service)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// The client waits as long as Retry-After says, within bounds; without it the pauses grow.
func TestPauseIsWaitedFor(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{
		0:           firstPause + 2*firstPause,
		time.Second: 2 * time.Second,
		time.Hour:   2 * maxPause,
	} {
		synctest.Test(t, func(t *testing.T) {
			begun, tries := time.Now(), 0
			failed := Retry{}.until(func() *failure {
				if tries++; tries == 3 {
					return nil
				}
				return &failure{again: true, after: after}
			})
			if took := time.Since(begun); failed != nil || took != want {
				t.Errorf("%v after %s, with %s in Retry-After; want no failure after %s", failed, took, after, want)
			}
		})
	}
}

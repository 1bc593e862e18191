package handlers

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"accountservice/tests/harness"
)

// While the memory for large bodies is used up, one more is refused before it is sent, and small ones are read. A client
// that sends it nevertheless gets the refusal and can use its connection again.
func TestLargeBodyIsRefusedBeforeItIsSent(t *testing.T) {
	bodies := newGate(1, time.Second, costlySoon, errBusy)
	engine := newEngine(slog.New(slog.DiscardHandler))
	engine.PUT("/", func(c *gin.Context) {
		body, places, err := receiveBody(c, bodies, 1<<20)
		if err == nil && places > 0 {
			err = bodies.take(c.Request.Context(), places)
			defer bodies.give(places)
		}
		if err != nil {
			refuse(c, err)
			return
		}
		c.String(http.StatusOK, "%d", len(body))
	})
	server := httptest.NewServer(engine)
	defer server.Close()
	const bytes = 900_000 // net/http alone reads 256 KiB of what a handler leaves
	dial := func(length int, rest string) *bufio.Reader {
		t.Helper()
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		harness.Must(t, err)
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(time.Minute))
		if length > 0 {
			rest = fmt.Sprintf("Content-Length: %d\r\n%s", length, rest)
		}
		fmt.Fprint(conn, "PUT / HTTP/1.1\r\nHost: x\r\n", rest)
		return bufio.NewReader(conn)
	}
	answer := func(in *bufio.Reader, status int, want string) {
		t.Helper()
		resp, err := http.ReadResponse(in, nil)
		harness.Must(t, err)
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status || !strings.Contains(string(text), want) || (status == 503) != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("%d %s %v, %v; want %d %s", resp.StatusCode, text, resp.Header, err, status, want)
		}
	}
	small, whole := "\r\n"+strings.Repeat(" ", largeBody), "\r\n"+strings.Repeat(" ", bytes)
	next := fmt.Sprintf("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s", largeBody, small)

	harness.Must(t, bodies.begin(mostUnplaced, mostUnplaced))
	answer(dial(bytes, "Expect: 100-continue\r\n\r\n"), 503, "/problems/busy") // and the client sends nothing
	in := dial(bytes, whole+next)
	answer(in, 503, "/problems/busy")
	answer(in, 200, fmt.Sprint(largeBody))
	bodies.done(mostUnplaced)
	answer(dial(bytes, whole), 200, fmt.Sprint(bytes))
	// what came in chunks and is short needs no place
	harness.Must(t, bodies.take(t.Context(), 1))
	answer(dial(0, "Transfer-Encoding: chunked\r\n\r\n3\r\n{ }\r\n0\r\n\r\n"), 200, "3")
	bodies.give(1)
	if bodies.free != 1 || bodies.reading != (reading{}) {
		t.Errorf("%d places are free, %v are read", bodies.free, bodies.reading)
	}
}

// A client that sends all of its body before it reads would get no answer.
func TestPanicLeavesNoBodyUnread(t *testing.T) {
	engine := newEngine(slog.New(slog.DiscardHandler))
	engine.GET("/", func(*gin.Context) { panic("ordered") })
	body, answer := strings.NewReader("{}"), httptest.NewRecorder()
	engine.ServeHTTP(answer, httptest.NewRequest("GET", "/", body))
	if answer.Code != http.StatusInternalServerError || body.Len() > 0 {
		t.Errorf("%d, and %d bytes are unread; want 500, and none", answer.Code, body.Len())
	}
}

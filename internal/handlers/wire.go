package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// sendBuffer bounds what the kernel holds of an answer that the client has not
// taken yet, in bytes. A full buffer takes more only when a third of it is empty:
// of the megabytes that it grows to by itself a slow client needs longer for that
// than a stream may stand still.
const sendBuffer = 64 << 10

// Problems is l, on whose connections the errors that net/http answers by
// itself, before it asks a handler, are problems too: 400 for what is no HTTP,
// 417, 431, 501. For TCP, not for TLS. Streams need its small send buffers.
func Problems(l net.Listener) net.Listener { return problemListener{l} }

type problemListener struct{ net.Listener }

// Accept implements net.Listener.
func (l problemListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(sendBuffer) // as well as it can
		return problemConn{tcp}, err
	}
	return conn, err
}

// problemConn keeps what net/http looks for in a connection: CloseWrite, ReadFrom.
type problemConn struct{ *net.TCPConn }

// plainHeader is all that stands between status line and text of such an error.
// An answer of a handler has a Date at least.
const plainHeader = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// otherExpect begins the answer to an Expect that is not 100-continue, which is
// all header. No handler gives this status, and no body has a line end of this
// kind: a Write can be the middle of one, whose text is the client's.
var otherExpect = []byte("HTTP/1.1 417 Expectation Failed\r\n")

// Write implements net.Conn.
func (c problemConn) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, otherExpect) && bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		_, err := c.TCPConn.Write(problemAnswer(http.StatusExpectationFailed))
		return len(b), err
	}
	line, _, plain := bytes.Cut(b, []byte(plainHeader))
	code, found := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !plain || !found || bytes.Contains(line, []byte("\r\n")) || len(code) < 3 {
		return c.TCPConn.Write(b)
	}
	status, err := strconv.Atoi(string(code[:3]))
	if err != nil {
		return c.TCPConn.Write(b)
	}
	if _, err := c.TCPConn.Write(problemAnswer(status)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// problemAnswer is a whole answer that closes its connection.
func problemAnswer(status int) []byte {
	id := newUUID(time.Now())
	p := problem(status, "This is not a request that can be understood.")
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		p.Detail = "The header of the request is too long."
	case http.StatusExpectationFailed:
		p.Detail = "Of what a request can expect only 100-continue is known here."
	case http.StatusNotImplemented:
		p.Detail = "The request has a transfer coding that is not known here."
	}
	p.Instance = instancePrefix + id
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nX-Request-Id: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), problemType, id, len(body), body)
}

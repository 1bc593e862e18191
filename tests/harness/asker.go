package harness

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"net"
	"strconv"
	"time"
)

// Asker asks by one connection, which is made anew after an error. It does less than net/http's client, since it shares
// the machine with what is measured.
type Asker struct {
	Addr string
	conn net.Conn
	in   *bufio.Reader
}

// Ask sends a request as it is and reads the answer to its end. after is true if that has a Retry-After.
func (a *Asker) Ask(request string) (status int, after bool, err error) {
	if a.conn == nil {
		if a.conn, err = net.DialTimeout("tcp", a.Addr, 5*time.Second); err != nil {
			a.conn = nil
			return 0, false, err
		}
		a.in = bufio.NewReader(a.conn)
	}
	a.conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err = io.WriteString(a.conn, request); err == nil {
		status, after, err = a.answer()
	}
	if err != nil {
		a.Close()
	}
	return status, after, err
}

// Close ends the connection, if there is one.
func (a *Asker) Close() {
	if a.conn != nil {
		a.conn.Close()
		a.conn = nil
	}
}

func (a *Asker) answer() (status int, after bool, err error) {
	line, err := a.in.ReadSlice('\n')
	if err != nil || len(line) < 12 {
		return 0, false, cmp.Or(err, errors.New("malformed answer"))
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, false, err
	}
	length, chunked := int64(0), false
	for {
		if line, err = a.in.ReadSlice('\n'); err != nil {
			return status, after, err
		}
		switch name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(": ")); {
		case len(name) == 0:
			return status, after, a.skip(length, chunked)
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return status, after, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		case bytes.EqualFold(name, []byte("Retry-After")):
			after = true
		}
	}
}

// skip reads the body of an answer.
func (a *Asker) skip(length int64, chunked bool) error {
	for chunked {
		line, err := a.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return err
		}
		if _, err = io.CopyN(io.Discard, a.in, size+int64(len("\r\n"))); err != nil {
			return err
		}
		chunked = size > 0
	}
	_, err := io.CopyN(io.Discard, a.in, length)
	return err
}

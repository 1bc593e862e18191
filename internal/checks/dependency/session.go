package dependency

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

const (
	maxAnswer = 64 << 10 // bytes that are read in one run, but for pages
	maxLine   = 16 << 10 // bytes of a line: a NATS server lists its cluster in one
)

var errTooLong = verdictf("its answer is longer than %d KiB", maxAnswer>>10)

// session is a connection whose reads and writes end with the context of a run. It has no goroutine between runs.
type session struct {
	net.Conn            // with TLS, once that is spoken
	raw        net.Conn // without
	r          *bufio.Reader
	left       atomic.Int64 // bytes that this run may still read; libraries read on other goroutines
	opened     time.Time
	used       time.Time // by the last run
	warnedLast bool
}

func newSession(conn net.Conn) *session {
	s := &session{Conn: conn, raw: conn, opened: time.Now(), used: time.Now()}
	s.left.Store(maxAnswer)
	s.r = bufio.NewReaderSize(s, maxLine)
	return s
}

// Read implements net.Conn. It reads at most maxAnswer bytes a run.
func (s *session) Read(p []byte) (int, error) {
	left := s.left.Load()
	if left <= 0 {
		return 0, errTooLong
	}
	n, err := s.Conn.Read(p[:min(int64(len(p)), left)])
	s.left.Add(int64(-n))
	return n, err
}

// during calls run, whose reads and writes fail once ctx ends.
func (s *session) during(ctx context.Context, run func() error) error {
	s.raw.SetDeadline(time.Time{}) // on a closed connection it fails, and so will run
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		s.raw.SetDeadline(time.Unix(1, 0))
	})
	err := run()
	if !stop() {
		<-done // else it could end the next run
	}
	return err
}

// encrypt makes the TLS handshake.
func (s *session) encrypt(at *phase, settings *tlsSettings) error {
	if s.r.Buffered() > 0 {
		return errNotSpoken // somebody on the way may have added it to be taken for encrypted
	}
	*at = tlsHandshake
	conn, err := settings.handshake(s.raw)
	if err == nil {
		s.Conn = conn
	}
	return err
}

// warning is about the certificate of the service, if it has one.
func (s *session) warning() error {
	if conn, is := s.Conn.(*secured); is {
		return conn.warning()
	}
	return nil
}

// line reads up to a line end, which it cuts. One longer than maxLine is an error.
func (s *session) line() (string, error) {
	line, err := s.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errNotSpoken
	}
	if err != nil {
		return "", err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return string(line), nil
}

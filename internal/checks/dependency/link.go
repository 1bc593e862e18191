package dependency

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// How long a connection is kept. What stands between drops idle ones without a
// word (IPVS of a Swarm after 15 min). And one that is in use shows nothing of
// what every new client would meet: another certificate or password, a name that
// is gone, nobody who accepts.
const (
	maxIdle      = time.Minute
	maxAge       = 5 * time.Minute
	maxWarnedAge = time.Minute // of one that warns: the cure is seen by a new one only
)

// life is that of a kept connection.
type life struct {
	opened, used time.Time
	warned       bool // by the last run
}

func (l *life) begin() { l.opened, l.used = time.Now(), time.Now() }

func (l *life) note(err error) { l.used, l.warned = time.Now(), isWarning(err) }

// over says that the connection is to be replaced before it is used again.
func (l *life) over() bool {
	most := maxAge
	if l.warned {
		most = maxWarnedAge
	}
	return time.Since(l.used) > maxIdle || time.Since(l.opened) > most
}

// link is a connection on which the service has let us in.
type link interface {
	ask(ctx context.Context, at *phase) error
	close()
}

// keep asks over one connection, opened when there is none. A run makes one
// attempt to open; a connection that was cut while idle says nothing of the
// service now, so the run that finds it opens another.
func keep(open func(context.Context, *phase) (link, error)) question {
	var kept link
	var life life
	return func(ctx context.Context, at *phase) error {
		if kept != nil && life.over() {
			kept.close()
			kept = nil
		}
		if kept != nil {
			err := kept.ask(ctx, at)
			life.note(err)
			if err == nil || isWarning(err) {
				return err
			}
			kept.close()
			kept = nil
			if !wasCut(err) {
				return err
			}
		}
		life.begin()
		fresh, err := open(ctx, at)
		if err != nil {
			return err
		}
		err = fresh.ask(ctx, at)
		life.note(err)
		if err != nil && !isWarning(err) {
			fresh.close()
			return err
		}
		kept = fresh
		return err
	}
}

// maxAnswer is the most that is read in one run, in bytes; of a page it is maxPage.
const maxAnswer = 64 << 10

// maxLine is the longest line, in bytes: a NATS server lists its cluster in one.
const maxLine = 16 << 10

// session is a connection whose every read and write obeys the context of a
// run, and which takes no endless answer. It has no goroutine between runs.
type session struct {
	net.Conn
	r    *bufio.Reader
	left atomic.Int64 // bytes that this run may still read; pgconn reads on after an error, to be closed
}

func newSession(conn net.Conn) *session {
	s := &session{Conn: conn}
	s.r = bufio.NewReaderSize(s, maxLine)
	return s
}

var errTooLong = verdictf("its answer is longer than %d KiB", maxAnswer>>10)

// Read takes no more than maxAnswer bytes a run.
func (s *session) Read(p []byte) (int, error) {
	left := s.left.Load()
	if left <= 0 {
		return 0, errTooLong
	}
	n, err := s.Conn.Read(p[:min(int64(len(p)), left)])
	s.left.Add(int64(-n))
	return n, err
}

// during lets a run use the session until its ctx ends.
func (s *session) during(ctx context.Context, run func() error) error {
	s.left.Store(maxAnswer)
	if err := s.SetDeadline(time.Time{}); err != nil { // ctx ends it, not the clock on the wall
		return err
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		s.SetDeadline(time.Unix(1, 0))
	})
	err := run()
	if !stop() {
		<-done // else it could end the next run
	}
	return err
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

// errNotSpoken is said of what is no answer in the protocol.
var errNotSpoken = errors.New("not the protocol")

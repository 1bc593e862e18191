package dependency

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxAnswer = 64 << 10 // bytes that are read in one run, but for pages
	maxLine   = 16 << 10 // bytes of a line: a NATS server lists its cluster in one
)

var errTooLong = verdictf("its answer is longer than %d KiB", maxAnswer>>10)

// session is a connection whose reads and writes end with the context of a run. It has no goroutine between runs.
// Libraries read and write on goroutines of their own.
type session struct {
	net.Conn            // with TLS, once that is spoken
	raw        net.Conn // without
	r          *bufio.Reader
	left       atomic.Int64          // bytes that this run may still read
	failed     atomic.Pointer[error] // the first error of reading or writing
	opened     time.Time
	used       time.Time // by the last run
	warnedLast bool

	tls    *tlsSettings          // nil without TLS
	chains [][]*x509.Certificate // of the service
	// wantsCertificate is true from the server's request for a certificate of ours until its first answer. If it
	// ends the connection between, that is why: in TLS 1.3 it tells only by an alert after the handshake, which
	// is lost if the connection is reset.
	wantsCertificate atomic.Bool
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
		return 0, s.note(errTooLong)
	}
	n, err := s.Conn.Read(p[:min(int64(len(p)), left)])
	s.left.Add(int64(-n))
	if n > 0 {
		s.wantsCertificate.Store(false)
	}
	return n, s.note(err)
}

func (s *session) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	return n, s.note(err)
}

// note keeps the first error, but for those that follow from closing, and returns the reason behind it.
func (s *session) note(err error) error {
	if (isAlert(err) || wasCut(err)) && s.wantsCertificate.Load() {
		err = s.refusesCertificate()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		s.failed.CompareAndSwap(nil, &err)
	}
	return err
}

// during calls run, whose reads and writes fail once ctx ends. A run that returns no error, or a warning, though ctx has
// ended gets that of ctx: a library that still reads would fail, and with it the next run over this connection.
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
		if err == nil || isWarning(err) {
			err = ctx.Err()
		}
	}
	return err
}

// goodbye is for a protocol that has none.
func (s *session) goodbye() {}

func (s *session) encrypt(at *phase, settings *tlsSettings) error {
	if s.r.Buffered() > 0 {
		return errNotSpoken // somebody on the way may have added it to be taken for encrypted
	}
	*at = tlsHandshake
	s.tls = settings
	conn := tls.Client(s.raw, s.clientConfig(settings))
	if err := conn.Handshake(); err != nil {
		return s.note(err)
	}
	s.Conn = conn
	return nil
}

// clientConfig notes the chains of the server's certificate and whether it asks for one of ours, and verifies its
// certificate where package tls does not.
func (s *session) clientConfig(settings *tlsSettings) *tls.Config {
	config := settings.config.Clone()
	config.RootCAs = cmp.Or(rootsIn(settings.rootsFile), config.RootCAs)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		s.wantsCertificate.Store(true)
		return settings.clientCertificate()
	}
	config.VerifyConnection = func(state tls.ConnectionState) (err error) {
		s.chains = state.VerifiedChains
		if settings.anyName {
			s.chains, err = verifyAnyName(state.PeerCertificates, config.RootCAs)
		}
		return err
	}
	return config
}

// refusesCertificate is why a server that asked for a certificate ended the connection.
func (s *session) refusesCertificate() error {
	if s.tls != nil && s.tls.certFile != "" {
		return errRefusesCertificate
	}
	return errWantsCertificate
}

// refusal waits this long for a server that asked for a certificate: in TLS 1.3 it refuses after the handshake.
func (s *session) refusal(ctx context.Context, wait time.Duration) error {
	if !s.wantsCertificate.Load() {
		return nil
	}
	s.raw.SetReadDeadline(time.Now().Add(wait))
	if _, err := s.Read(make([]byte, 1)); !isTimeout(err) {
		return err
	}
	return ctx.Err()
}

// warning is about the certificate of the service, if it has one.
func (s *session) warning() error {
	if s.tls == nil || s.tls.warn == 0 {
		return nil
	}
	return endsSoon(validUntil(s.chains), s.tls.warn)
}

// line reads up to a line end, which it cuts. One longer than maxLine is an error.
func (s *session) line() (string, error) {
	line, err := s.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errNotSpoken
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), err
}

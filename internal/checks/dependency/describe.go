package dependency

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"
)

// verdict is a failure that an understood answer means. Its text is ours.
type verdict struct {
	text string
	bye  bool // the service ends the connection with it
}

func (v *verdict) Error() string { return v.text }

func verdictf(format string, args ...any) error { return &verdict{text: fmt.Sprintf(format, args...)} }

// warning is a success that will not last.
type warning struct{ text string }

func (w *warning) Error() string   { return w.text }
func (w *warning) Warning() string { return w.text }

func isWarning(err error) bool {
	_, is := errors.AsType[*warning](err)
	return is
}

var (
	// errNotSpoken is for an answer that breaks the protocol.
	errNotSpoken        = errors.New("not the protocol")
	errWantsCertificate = errors.New("the server wants a certificate of its clients, and checks have none")
)

// describe returns err in the words of an operator, after the phase it came in. It does not wrap err: libraries
// repeat URLs and what the service sent.
func describe(err error, at *phase, protocol string) error {
	if err == nil || isWarning(err) {
		return err
	}
	text := describeTLS(err)
	if text != "" {
		*at = tlsHandshake // TLS 1.3 may refuse later
	} else {
		text = reason(err, *at, protocol)
	}
	return fmt.Errorf("%v: %s", *at, text)
}

func reason(err error, at phase, protocol string) string {
	var ours *verdict
	var lookup *net.DNSError
	var errno syscall.Errno
	switch {
	case errors.As(err, &ours):
		return ours.text
	case isTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "told to stop"
	case errors.As(err, &lookup):
		return describeLookup(lookup)
	case errors.As(err, &errno) && errno != syscall.EPIPE:
		return peerOf(err) + errno.Error()
	case wasCut(err):
		return "the server closed the connection"
	case at == tlsHandshake:
		return "it does not speak TLS, or not as asked"
	case strings.Contains(err.Error(), "http2: "):
		return "the server ended the HTTP/2 connection, or broke its rules"
	case protocol == "HTTP":
		return "it is not HTTP, or too long a header"
	}
	return "it is not " + protocol
}

func isTimeout(err error) bool {
	late, is := errors.AsType[net.Error](err)
	return is && late.Timeout()
}

// wasCut is true if the other side, or the network, ended the connection.
func wasCut(err error) bool {
	var v *verdict
	switch {
	case err == nil || isTimeout(err):
		return false
	case errors.As(err, &v):
		return v.bye
	}
	ends := []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED}
	isEnd := func(end error) bool { return errors.Is(err, end) }
	text := err.Error() // net/http exports no errors for these
	return slices.ContainsFunc(ends, isEnd) ||
		strings.Contains(text, "http: server closed idle connection") || strings.Contains(text, "http2: server sent GOAWAY")
}

func describeLookup(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return err.Name + ": no such name"
	case strings.Contains(err.Err, "refused"):
		return "the name server refuses connections"
	}
	return "the name server does not work"
}

// peerOf is the address that could not be connected to: a name can have several.
func peerOf(err error) string {
	if op, is := errors.AsType[*net.OpError](err); is && op.Op == "dial" && op.Addr != nil {
		return op.Addr.String() + ": "
	}
	return ""
}

// describeTLS returns "" unless err is about a certificate or a handshake.
func describeTLS(err error) string {
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var unverified *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return describeExpired(invalid.Cert)
	case errors.As(err, &host):
		return "its certificate is for another name than " + host.Host
	case errors.As(err, &unknown):
		return "its certificate is signed by an unknown authority"
	case errors.As(err, &invalid), errors.As(err, &unverified):
		return "its certificate is not valid"
	case errors.Is(err, errWantsCertificate):
		return errWantsCertificate.Error()
	case isAlert(err):
		_, words, _ := strings.Cut(err.Error(), "remote error: tls: ") // the TLS package's words, not the server's
		return "the server refuses it: " + words
	case errors.As(err, &record):
		return "it does not speak TLS"
	}
	return ""
}

// isAlert is true if the other side ended TLS by an alert.
func isAlert(err error) bool {
	alert, is := errors.AsType[*net.OpError](err)
	return is && alert.Op == "remote error"
}

func describeExpired(certificate *x509.Certificate) string {
	if time.Now().Before(certificate.NotBefore) {
		return "its certificate is not valid before " + day(certificate.NotBefore)
	}
	return "its certificate ended on " + day(certificate.NotAfter)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

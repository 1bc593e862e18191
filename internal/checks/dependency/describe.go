package dependency

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// verdict is what an answer that was understood is worth. Its text is ours.
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
	var w *warning
	return errors.As(err, &w)
}

// describe is err in the words of an operator, after the phase it came in. It
// does not wrap: libraries repeat what the service sent, and URLs.
func describe(err error, at *phase, protocol string) error {
	if err == nil || isWarning(err) {
		return err
	}
	if certificate, is := describeTLS(err); is {
		at.set(tlsHandshake) // a library may have done it later than it was asked
		return fmt.Errorf("%s: %s", at.name(), certificate)
	}
	return fmt.Errorf("%s: %s", at.name(), reason(err, at.n.Load(), protocol))
}

func reason(err error, at int32, protocol string) string {
	var ours *verdict
	var late net.Error
	var lookup *net.DNSError
	var errno syscall.Errno
	switch {
	case errors.As(err, &ours):
		return ours.text
	case errors.As(err, &late) && late.Timeout(), errors.Is(err, context.DeadlineExceeded): // ours or a library's
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

// wasCut says that the other side, or the network, ended the connection.
func wasCut(err error) bool {
	var v *verdict
	var late net.Error
	if errors.As(err, &v) {
		return v.bye
	}
	if errors.As(err, &late) && late.Timeout() {
		return false
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED} {
		if errors.Is(err, end) {
			return true
		}
	}
	// the HTTP client has no names for these
	return strings.Contains(err.Error(), "http: server closed idle connection") || strings.Contains(err.Error(), "http2: server sent GOAWAY")
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

// peerOf is the address that did not let itself be connected to: a name can
// have several.
func peerOf(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && op.Addr != nil {
		return op.Addr.String() + ": "
	}
	return ""
}

// describeTLS knows what can be wrong with a certificate and a handshake.
func describeTLS(err error) (text string, is bool) {
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var unverified *tls.CertificateVerificationError
	var alert *net.OpError // of package tls: its AlertError is for QUIC alone
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return describeExpired(invalid.Cert), true
	case errors.As(err, &host):
		return "its certificate is for another name than " + host.Host, true
	case errors.As(err, &unknown):
		return "its certificate is signed by an unknown authority", true
	case errors.As(err, &invalid), errors.As(err, &unverified):
		return "its certificate is not valid", true
	case errors.As(err, &alert) && alert.Op == "remote error":
		return describeAlert(strings.TrimPrefix(alert.Err.Error(), "tls: ")), true
	case errors.As(err, &record):
		return "it does not speak TLS", true
	}
	return "", false
}

// describeAlert is about what the server thinks of us, in the TLS library's words.
func describeAlert(words string) string {
	if words == "certificate required" {
		return "the server wants a certificate of its clients, and checks have none"
	}
	return "the server refuses it: " + words
}

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

	"accountservice/internal/warning"
)

// verdict is a failure that an understood answer means. Its text is ours.
type verdict struct {
	text string
	bye  bool // the service ends the connection with it
}

func (v *verdict) Error() string { return v.text }

func verdictf(format string, args ...any) error { return &verdict{text: fmt.Sprintf(format, args...)} }

// coded is what a server's code means by these words. Those in byes end the connection.
func coded[Code comparable](code Code, words map[Code]string, byes ...Code) error {
	text := fmt.Sprintf("the server answers error %v", code)
	if words[code] != "" {
		text = fmt.Sprintf("%s (%v)", words[code], code)
	}
	return &verdict{text, slices.Contains(byes, code)}
}

func isWarning(err error) bool {
	_, is := errors.AsType[warning.Error](err)
	return is
}

var (
	// errNotSpoken is for an answer that breaks the protocol.
	errNotSpoken        = errors.New("not the protocol")
	errWantsCertificate = errors.New("the server wants a certificate of its clients: " +
		"give it one by cert_file and key_file")
	// errRefusesCertificate is for the certificate of cert_file.
	errRefusesCertificate = errors.New("the server refuses the certificate of cert_file")
	errNoTLS              = verdictf("the server offers no TLS")
	errPlaintextLogin     = verdictf("the server offers no TLS, without which plaintext_login=allow must permit the login")
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
		return describeHandshake(err)
	case strings.Contains(err.Error(), "http2: "):
		return "the server ended the HTTP/2 connection, or broke its rules"
	case errors.Is(err, errNotSpoken):
		return "it is not " + protocol
	case at <= connect:
		return "it failed for a reason that has no words here"
	case protocol == "HTTP":
		return fmt.Sprintf("its answer can't be read as HTTP, or its header is longer than %d KiB", maxAnswer>>10)
	}
	return "its answer can't be read as " + protocol
}

// describeHandshake is for an error of this side that is not of a type of its own.
func describeHandshake(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "failed to parse certificate"):
		return "its certificate can't be read: it breaks the rules, such as by a negative serial number"
	case strings.Contains(text, "keys are insecure"):
		return "its certificate has too short an RSA key: Go takes 1024 bits or more"
	}
	return "the handshake failed"
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
	isText := func(part string) bool { return strings.Contains(err.Error(), part) }
	return slices.ContainsFunc(ends, isEnd) || slices.ContainsFunc(httpEnds, isText)
}

// httpEnds are the words of net/http for a connection that the server ended, of which it exports no errors. It may be
// open still: after GOAWAY it takes no new requests, and a server in Go closes it a second later.
var httpEnds = []string{"http: server closed idle connection", "http2: client conn is closed",
	"http2: client conn not usable", "http2: server sent GOAWAY",
	"http2: Transport received Server's graceful shutdown GOAWAY"}

func describeLookup(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return err.Name + ": no such name"
	case strings.Contains(err.Err, "refused"):
		return "the name server refuses connections"
	case strings.Contains(err.Err, "unreachable"), strings.Contains(err.Err, "no route to host"):
		return "no route leads from here to the name server"
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
	case errors.As(err, &unverified) && endedIntermediate(unverified) != nil:
		return "an intermediate certificate that it sends " + describeExpired(endedIntermediate(unverified))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return "its certificate " + describeExpired(invalid.Cert)
	case errors.As(err, &host) && len(host.Certificate.DNSNames)+len(host.Certificate.IPAddresses) == 0:
		return "its certificate has no subject alternative name, and so is for no host"
	case errors.As(err, &host):
		return "its certificate is for another name than " + host.Host
	case errors.As(err, &unknown):
		return "its certificate is signed by an unknown authority"
	case errors.As(err, &invalid), errors.As(err, &unverified):
		return "its certificate is not valid"
	case errors.Is(err, errWantsCertificate):
		return errWantsCertificate.Error()
	case errors.Is(err, errRefusesCertificate):
		return errRefusesCertificate.Error()
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

// endedIntermediate returns a certificate between that of the server and its root that is not valid now, or nil.
// Package x509 names it only if no other is tried.
func endedIntermediate(err *tls.CertificateVerificationError) *x509.Certificate {
	now := time.Now()
	if errors.As(err.Err, new(x509.HostnameError)) {
		return nil // which is found after the chain
	}
	for _, c := range err.UnverifiedCertificates[1:] {
		if now.After(c.NotAfter) || now.Before(c.NotBefore) {
			return c
		}
	}
	return nil
}

func describeExpired(certificate *x509.Certificate) string {
	if time.Now().Before(certificate.NotBefore) {
		return "is not valid before " + day(certificate.NotBefore)
	}
	return "ended on " + day(certificate.NotAfter)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

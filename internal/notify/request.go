package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// maxAnswer is how much of an answer is read, in bytes: nothing in it matters.
const maxAnswer = 4 << 10

// refused is the status of an answer that is no success.
type refused int

func (r refused) Error() string {
	if r/100 == 3 {
		return fmt.Sprintf("answered %d: a redirect is not followed", int(r))
	}
	return fmt.Sprintf("answered %d %s", int(r), http.StatusText(int(r)))
}

// request makes one request. Its error does not show the URL.
func (n *Notifier) request(ctx context.Context, method, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	req.Header.Set("User-Agent", "accountservice")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return errors.New(n.words(err))
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 != 2 {
		return refused(resp.StatusCode)
	}
	return nil
}

// words says why a request failed. The errors of net/http and of TLS repeat the URL or its host, and so does that of a
// proxy: none is shown.
func (n *Notifier) words(err error) string {
	var timeout net.Error
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var host x509.HostnameError
	var number syscall.Errno
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("no answer within %s", n.client.Timeout)
	case errors.As(err, &name):
		return "the name of its host cannot be resolved"
	case errors.As(err, &certificate), errors.As(err, &host):
		return "its certificate is not trusted, or of another host"
	case errors.As(err, &number):
		return number.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection without an answer"
	}
	return "it does not speak HTTP as expected"
}

// again reports whether another try may succeed.
func again(err error) bool {
	var status refused
	return !errors.As(err, &status) || status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"accountservice/internal/excerpt"
)

// upload is the body of a request.
type upload struct {
	from io.ReaderAt
	size int64
	sum  string // SHA-256, in hexadecimal digits
}

// request sends a request again until it is done. Its answer has no body that matters.
func (b *bucket) request(ctx context.Context, method, name string, content *upload) error {
	return b.again(ctx, func() error {
		resp, err := b.do(ctx, method, name, nil, content)
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
}

// do sends one request for the object of this name, or for the bucket if name is "". Its answer is 2xx, and the caller
// closes its body.
func (b *bucket) do(ctx context.Context, method, name string, query url.Values, content *upload) (*http.Response, error) {
	target := b.base
	if name != "" {
		target.Path += b.prefix + name
	}
	target.RawPath, target.RawQuery = escaped(target.Path), strings.ReplaceAll(query.Encode(), "+", "%20")
	ctx, stop := withSilence(ctx, b.silence)
	r, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		stop.end()
		return nil, err
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(nil))
	if content != nil && content.size > 0 {
		r.Body, r.ContentLength = io.NopCloser(heard{io.NewSectionReader(content.from, 0, content.size), stop}), content.size
	}
	if content != nil {
		sum = content.sum
	}
	sent := b.now()
	b.sign(r, sum, sent)
	resp, err := b.client.Do(r)
	if err != nil {
		defer stop.end()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, &refusal{err: err, again: true}
	}
	if resp.StatusCode/100 == 2 {
		resp.Body = &answer{heard{resp.Body, stop}, resp.Body}
		return resp, nil
	}
	defer stop.end()
	defer resp.Body.Close()
	return nil, b.refused(resp, sent)
}

// refusal is why a request was not done.
type refusal struct {
	err   error
	again bool // another try may succeed

	denied bool // by a server of S3, which knows the key and does not let it do this
}

// Error is one line that is not too long: errors of Go quote headers and XML, and a server may send anything.
func (r *refusal) Error() string { return excerpt.Ends(excerpt.Line(r.err.Error()), 800) }
func (r *refusal) Unwrap() error { return r.err }

// refused is the error of an answer that is not 2xx, with what to do.
func (b *bucket) refused(resp *http.Response, sent time.Time) error {
	var answer struct{ Code, Message string }
	xml.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer) // without one, the status says it
	err := fmt.Errorf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if answer.Code != "" {
		err = fmt.Errorf("%s: %s", printable(answer.Code), printable(answer.Message))
	}
	var cure string
	switch answer.Code {
	case "RequestTimeTooSkewed":
		cure = fmt.Sprintf("the clocks differ: it is %s here, and the server says %s; set the wrong one",
			sent.UTC().Format(http.TimeFormat), printable(resp.Header.Get("Date")))
	case "InvalidAccessKeyId", "SignatureDoesNotMatch":
		cure = "check backup.s3.access_key and backup.s3.secret_key"
	case "AccessDenied":
		cure = "the key of backup.s3.access_key must have the right to list, get, put and delete objects there"
	case "NoSuchBucket":
		cure = "create the bucket, or check backup.to"
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect":
		cure = "check backup.s3.region and backup.s3.endpoint"
	case "NoSuchKey":
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	switch {
	case answer.Code != "":
	case resp.StatusCode == http.StatusForbidden:
		cure = "check backup.s3.access_key and backup.s3.secret_key"
	case resp.StatusCode/100 == 3:
		cure = "it sends requests on to " + cmp.Or(printable(resp.Header.Get("Location")), "a server that it does not name") +
			": check backup.s3.region and backup.s3.endpoint"
	}
	if cure != "" {
		err = fmt.Errorf("%w; %s", err, cure)
	}
	return &refusal{err: err, denied: answer.Code == "AccessDenied", again: resp.StatusCode >= 500 ||
		resp.StatusCode == http.StatusTooManyRequests || answer.Code == "RequestTimeout"}
}

// again calls try, which can be repeated, until it succeeds, up to tries times.
func (b *bucket) again(ctx context.Context, try func() error) (err error) {
	pause := b.pause
	for n := 1; ; n++ {
		err = try()
		var r *refusal
		if err == nil || n == tries || errors.As(err, &r) && !r.again {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return err
		}
	}
}

// silence ends a request when its server neither takes nor sends anything for too long.
type silence struct {
	limit time.Duration
	timer *time.Timer
	stop  context.CancelCauseFunc
}

func withSilence(ctx context.Context, limit time.Duration) (context.Context, *silence) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &silence{limit: limit, stop: cancel}
	s.timer = time.AfterFunc(limit, func() { cancel(fmt.Errorf("the server is silent for %s", limit)) })
	return ctx, s
}

func (s *silence) end() {
	s.timer.Stop()
	s.stop(nil)
}

// heard is a body that is sent or received. Each read of it says that the server is not silent.
type heard struct {
	io.Reader
	silence *silence
}

func (h heard) Read(p []byte) (int, error) {
	h.silence.timer.Reset(h.silence.limit)
	return h.Reader.Read(p)
}

// answer is the body of an answer, whose end is that of its silence.
type answer struct {
	heard
	from io.Closer
}

func (a *answer) Close() error {
	a.silence.end()
	return a.from.Close()
}

// printable is text as one line that is not too long, for a server may send anything.
func printable(text string) string { return excerpt.Start(excerpt.Line(text), 300) }

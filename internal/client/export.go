package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"syscall"
)

// Export writes all accounts of the service to w as lines. It is asked again while the service is busy, as its answer
// says by 429 or Retry-After; nothing is written before. After an error, what was written is not complete.
func (c *Client) Export(ctx context.Context, w io.Writer, retry Retry) error {
	var resp *http.Response
	failed := retry.until(func() (failed *failure) {
		resp, failed = c.beginExport(ctx)
		return failed
	})
	if failed != nil {
		return failed
	}
	defer resp.Body.Close()
	kind := resp.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(kind); err != nil || media != linesType {
		return fmt.Errorf("%s: the answer is no export: its Content-Type is %q, not %s",
			resp.Request.URL.Redacted(), kind, linesType)
	}
	digest := sha256.New()
	_, err := io.Copy(io.MultiWriter(onlyLines{}, digest, w), resp.Body)
	if errors.Is(err, syscall.ECONNRESET) {
		err = fmt.Errorf("%w; if what takes the lines pauses for 10 s or more, the service closes the connection: write them to "+
			"a file first", err)
	}
	if err != nil {
		return fmt.Errorf("the export was cut: %w", &failure{err: err})
	}
	return complete(resp.Trailer.Get("Content-Digest"), digest.Sum(nil))
}

// beginExport returns the answer to a request for all accounts.
func (c *Client) beginExport(ctx context.Context) (*http.Response, *failure) {
	resp, failed := c.send(ctx, http.MethodGet, c.base.JoinPath("accounts:export"), "", nil)
	if failed != nil || resp.StatusCode == http.StatusOK {
		return resp, failed
	}
	defer resp.Body.Close()
	failed = refusal(resp)
	failed.again = failed.after > 0
	return nil, failed
}

// complete proves by the trailer that all lines arrived. The end of the body is no proof: a proxy can turn a broken
// connection into one.
func complete(want string, sum []byte) error {
	got := "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
	switch {
	case want == "":
		return errors.New("the export may be cut: it came without the trailer Content-Digest, which some proxies drop")
	case want != got:
		return fmt.Errorf("the export was changed on its way: its Content-Digest is %q, and what arrived has %s", want, got)
	}
	return nil
}

// onlyLines fails at a control character: valid JSON has none, and a terminal may obey it.
type onlyLines struct{}

func (onlyLines) Write(p []byte) (int, error) {
	if i := bytes.IndexFunc(p, func(r rune) bool { return r < ' ' && r != '\n' }); i >= 0 {
		return 0, fmt.Errorf("a line has the control character %q, so it is not JSON", p[i])
	}
	return len(p), nil
}

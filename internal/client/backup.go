package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// copyTimeout bounds the wait for a service that makes and verifies a copy before it sends the first byte of it: it
// gives up by itself after 30 minutes.
const copyTimeout = 35 * time.Minute

// Backup writes a copy of the database of the service to w. After an error, what was written is not complete.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	patient := Client{c.base, c.token, httpClient(copyTimeout)}
	resp, failed := patient.send(ctx, http.MethodPost, c.base.JoinPath("backup"), "", nil)
	if failed != nil {
		return failed
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode != http.StatusOK:
		return refusalToOperator(resp)
	case resp.ContentLength < 0: // a cut answer would look like a whole one
		return errors.New("the answer is no backup: it does not say its length")
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("the backup was cut: %w", &failure{err: err})
	}
	return nil
}

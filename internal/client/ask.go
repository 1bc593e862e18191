package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// AtSocket returns a client of the service that listens on the unix socket with this name.
func AtSocket(name string) *Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", name)
	}}
	return &Client{&url.URL{Scheme: "http", Host: "localhost"}, "", &http.Client{Transport: transport, CheckRedirect: noRedirect}}
}

// Health returns what /health answers, whatever its status is, which says whether the service is healthy.
func (c *Client) Health(ctx context.Context) (status int, body []byte, err error) {
	resp, body, err := c.ask(ctx, http.MethodGet, "health", nil)
	if err != nil {
		return 0, nil, err
	}
	return resp.StatusCode, body, nil
}

// Maintenance asks the operators' listener about the maintenance, begins or ends it, as method says, and returns the
// body of the answer. order is sent as JSON, unless it is nil. An answer other than 2xx is an error.
func (c *Client) Maintenance(ctx context.Context, method string, order any) ([]byte, error) {
	resp, body, err := c.ask(ctx, method, "maintenance", order)
	if err == nil && resp.StatusCode/100 != 2 {
		return nil, refusalToOperator(resp)
	}
	return body, err
}

// ask sends one request and reads the whole answer, whose body can then be read again.
func (c *Client) ask(ctx context.Context, method, path string, order any) (*http.Response, []byte, error) {
	var content []byte
	kind := ""
	if order != nil {
		text, err := json.Marshal(order)
		if err != nil {
			return nil, nil, err
		}
		content, kind = text, "application/json"
	}
	resp, failed := c.send(ctx, method, c.base.JoinPath(path), kind, content)
	if failed != nil {
		return nil, nil, failed
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, &failure{err: fmt.Errorf("%s: reading the answer: %w", resp.Request.URL.Redacted(), err)}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, body, nil
}

package harness

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Must fails the test at once if there is an error.
func Must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Read returns the content of a file.
func Read(tb testing.TB, path string) string {
	tb.Helper()
	content, err := os.ReadFile(path)
	Must(tb, err)
	return string(content)
}

// File returns the path of a new file with this name and content.
func File(tb testing.TB, name, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	Must(tb, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// ErrEnded in an error tells Eventually that waiting longer is of no use.
var ErrEnded = errors.New("ended")

// Eventually calls f until it succeeds or the limit is over, and returns the last error of f.
func Eventually(limit time.Duration, f func() error) error {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := f(); err == nil || errors.Is(err, ErrEnded) || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}

// Until asks until something is so, and returns whether it came within the limit.
func Until(limit time.Duration, so func() bool) bool {
	return Eventually(limit, func() error {
		if so() {
			return nil
		}
		return errors.New("not so")
	}) == nil
}

// WaitFor fails the test at once unless something is so within the limit.
func WaitFor(tb testing.TB, limit time.Duration, what string, so func() bool) {
	tb.Helper()
	if !Until(limit, so) {
		tb.Fatalf("not within %s: %s", limit, what)
	}
}

// client makes a new connection for each request and uses no proxy.
var client = http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Ask makes a request, with a body of JSON unless body is "". It returns the status and the body of the answer, or 0
// and why there was none. header is pairs of names and values.
func Ask(method, url, body string, header ...string) (status int, text string) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(content)
}

// Health is the part of the answer of /health that tests look at.
type Health struct {
	Status    string
	Ready     bool
	Timestamp time.Time
	Failures  map[string]string
	Component struct{ Name, Version string }
	Checks    map[string]struct {
		Status, Error, Warning string
		OnFailure              string    `json:"on_failure"`
		LastSuccess            time.Time `json:"last_success"`
		ConsecutiveFailures    int       `json:"consecutive_failures"`
	}
}

// Health is what /health says now, or nothing.
func (p *Process) Health() (h Health) {
	if _, body := p.Get("/health"); json.Unmarshal([]byte(body), &h) != nil {
		return Health{}
	}
	return h
}

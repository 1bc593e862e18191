package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// heldAnswer is the answer to a request that putLater made.
type heldAnswer struct {
	status int
	body   string
}

// putLater sends a change while the service starts. The answer is sent to the channel.
func putLater(url string) <-chan heldAnswer {
	answers := make(chan heldAnswer, 1)
	go func() {
		status, body := harness.Ask("PUT", url, `{"name":"Held"}`)
		answers <- heldAnswer{status, body}
	}()
	return answers
}

// The first service keeps its database for 3s, longer than the read_timeout of the second, which must not end the wait.
func TestRequestOfAStartWaitsForTheDatabaseAndHealthDoesNot(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	first := ready(t, path, "ACCOUNTSERVICE_HTTP_DRAIN_DELAY=3s")
	second := start(t, path, "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=60s", "ACCOUNTSERVICE_HTTP_HOLD=10s",
		"ACCOUNTSERVICE_HTTP_READ_TIMEOUT=1s", "ACCOUNTSERVICE_HTTP_READ_HEADER_TIMEOUT=1s")
	second.Says(t, "/health", "another process holds "+path+" locked")
	held := putLater(second.URL + "/accounts/held")
	first.Stop(t, 0)
	second.Await(t, "/ready", 200)
	if a := <-held; a.status != 201 {
		t.Errorf("the request that waited = %d %s, want 201", a.status, a.body)
	}
	second.Await(t, "/accounts/held", 200)
	second.Stop(t, 0)
}

// The connection closes: who asks again and again, as a probe, is told to go elsewhere, and does not delay the end.
func TestRequestOfAStartThatFailsIsAnswered503(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	ready(t, path)
	second := start(t, path, "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=3s", "ACCOUNTSERVICE_HTTP_HOLD=10s")
	second.Await(t, "/health", 503)
	held := putLater(second.URL + "/accounts/held")
	resp, err := http.Get(second.URL + "/accounts/held")
	harness.Must(t, err)
	resp.Body.Close()
	if resp.StatusCode != 503 || !resp.Close {
		t.Errorf("the request that waited = %d, closes %t; want 503, and that it closes", resp.StatusCode, resp.Close)
	}
	second.Exits(t, 1)
	if a := <-held; a.status != 503 || !strings.Contains(a.body, "/problems/unavailable") {
		t.Errorf("the request that waited = %d %s, want a whole 503", a.status, a.body)
	}
}

// The second service finds only after its database that it cannot start: a file that its configuration names has gone.
func TestRequestOfAStartThatFailsLateIsAnswered503(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	first := ready(t, path, "ACCOUNTSERVICE_HTTP_DRAIN_DELAY=3s")
	authority := harness.NewAuthority(t).File
	second := start(t, path, "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=60s", "ACCOUNTSERVICE_HTTP_HOLD=10s",
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_OTHER_URL=postgres://user@127.0.0.1:1/db?sslmode=verify-ca&ca_file="+authority)
	second.Says(t, "/health", "another process holds "+path+" locked")
	held := putLater(second.URL + "/accounts/held")
	harness.Must(t, os.Remove(authority))
	first.Stop(t, 0)
	second.Exits(t, 1)
	if a := <-held; a.status != 503 || !strings.Contains(a.body, "/problems/unavailable") {
		t.Errorf("the request that waited = %d %s, want a whole 503", a.status, a.body)
	}
}

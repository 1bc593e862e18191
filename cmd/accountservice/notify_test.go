package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"accountservice/tests/harness"
)

func TestChangesOfTheVerdictAreTold(t *testing.T) {
	t.Parallel()
	notices, beats := make(chan map[string]any, 20), make(chan string, 20)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/beat" {
			beats <- r.Method
			return
		}
		var n map[string]any
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			t.Error(err)
		}
		notices <- n
	}))
	defer receiver.Close()
	host, _ := os.Hostname()
	told := func(status, from string) {
		t.Helper()
		select {
		case n := <-notices:
			if n["status"] != status || n["from"] != from || n["instance"] != host || n["version"] != "dev" || n["text"] == "" {
				t.Errorf("%v, want %s from %s", n, status, from)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("no notice of %s", status)
		}
	}
	p := ready(t, newPath(t), append([]string{"ACCOUNTSERVICE_NOTIFY_URL=" + receiver.URL,
		"ACCOUNTSERVICE_NOTIFY_HEARTBEAT_URL=" + receiver.URL + "/beat"}, quick...)...)
	told("OK", "starting")
	select {
	case method := <-beats:
		if method != "GET" {
			t.Errorf("the heartbeat is a %s", method)
		}
	case <-time.After(30 * time.Second):
		t.Error("no heartbeat")
	}
	harness.Must(t, os.Truncate(p.Path, 8192))
	p.Await(t, "/health", 503)
	for n := range notices { // records may fail first
		if n["status"] == "Unavailable" {
			break
		}
	}
	p.Stop(t, 3)
}

func TestHungReceiverHoldsUpNeitherRequestsNorTheStop(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	asked := make(chan bool, 20)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		asked <- true
		<-end
	}))
	defer receiver.Close()
	defer close(end)
	p := ready(t, newPath(t), "ACCOUNTSERVICE_NOTIFY_URL="+receiver.URL, "ACCOUNTSERVICE_NOTIFY_HEARTBEAT_URL="+receiver.URL)
	<-asked
	<-asked
	p.Put(t, "10000", "Changed")
	p.Await(t, "/health", 200)
	begun := time.Now()
	p.Stop(t, 0)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the stop took %s", took)
	}
}

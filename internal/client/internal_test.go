package client

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const line = `{"id":"a","name":"x"}` + "\n"

func TestExportEndsWhenTheServiceFallsSilentAndNotWhenTheReaderIsSlow(t *testing.T) {
	t.Parallel()
	quiet := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", linesType)
		io.WriteString(w, line)
		http.NewResponseController(w).Flush()
		<-quiet
	}))
	defer server.Close()
	defer close(quiet)
	service, err := New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	service.silence = time.Second // it is armed before the first byte comes, and a busy machine is not silent
	var got bytes.Buffer
	slow := writerFunc(func(p []byte) (int, error) {
		time.Sleep(2 * service.silence)
		return got.Write(p)
	})
	begun := time.Now()
	err = service.Export(t.Context(), slow)
	if took := time.Since(begun); !errors.Is(err, errSilent) || got.String() != line || took < 3*service.silence {
		t.Errorf("%v after %s, %q", err, took, got.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRedirectOutOfTLSIsNotFollowed(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the request left TLS")
	}))
	defer plain.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL, http.StatusPermanentRedirect)
	}))
	defer server.Close()
	service, err := New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	service.http.Transport = server.Client().Transport
	want := "308 Permanent Redirect is not followed"
	if err := service.Export(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

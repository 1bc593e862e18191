package client

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
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
	const silence = time.Second // it begins before the first byte comes, and a busy machine is not silent
	service, err := newClient(server.URL, silence)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	slow := writerFunc(func(p []byte) (int, error) {
		time.Sleep(2 * silence)
		return got.Write(p)
	})
	begun := time.Now()
	err = service.Export(t.Context(), slow)
	if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || got.String() != line || took < 3*silence {
		t.Errorf("%v after %s, %q", err, took, got.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

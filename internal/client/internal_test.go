package client

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/tests/harness"
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
	service, err := New(server.URL, "")
	harness.Must(t, err)
	service.http = httpClient(silence)
	var got bytes.Buffer
	slow := writerFunc(func(p []byte) (int, error) {
		time.Sleep(2 * silence)
		return got.Write(p)
	})
	begun := time.Now()
	err = service.Export(t.Context(), slow, Retry{})
	if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || got.String() != line || took < 3*silence {
		t.Errorf("%v after %s, %q", err, took, got.String())
	}
}

func TestBackupIsWaitedForAsLongAsAServiceMayMakeIt(t *testing.T) {
	if service := 30 * time.Minute; copyTimeout <= service { // of boltstore's Backup
		t.Errorf("a client waits for %s, and a service gives up after %s", copyTimeout, service)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// The client waits as long as Retry-After says, within bounds; without it the pauses grow.
func TestPauseIsWaitedFor(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{
		0:           firstPause + 2*firstPause,
		time.Second: 2 * time.Second,
		time.Hour:   2 * maxPause,
	} {
		synctest.Test(t, func(t *testing.T) {
			begun, tries := time.Now(), 0
			failed := Retry{}.until(func() *failure {
				if tries++; tries == 3 {
					return nil
				}
				return &failure{again: true, after: after}
			})
			if took := time.Since(begun); failed != nil || took != want {
				t.Errorf("%v after %s, with %s in Retry-After; want no failure after %s", failed, took, after, want)
			}
		})
	}
}

// Package s3 tests the backups in S3 against a real server of that protocol, which checks signatures and clocks. It is
// a module of its own so that the server is no dependency of the service.
package s3

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"accountservice/internal/backup"
	"accountservice/tests/harness"
)

const accessKey, secretKey = "accounts", "a secret"

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// serve runs an S3 server with the bucket "backups" behind front, which may be nil, and returns how it is reached.
func serve(t *testing.T, front func(next http.Handler) http.Handler) backup.S3 {
	t.Helper()
	backend := s3mem.New()
	harness.Must(t, backend.CreateBucket(t.Context(), "backups"))
	api := gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{accessKey: secretKey})).Server()
	if front != nil {
		api = front(api)
	}
	server := httptest.NewUnstartedServer(api)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return backup.S3{Endpoint: server.URL, Region: "us-east-1", PathStyle: true, AccessKey: accessKey, SecretKey: secretKey}
}

func open(t *testing.T, to string, s3 backup.S3) backup.Target {
	t.Helper()
	target, err := backup.Open(to, s3)
	harness.Must(t, err)
	return target
}

func file(t *testing.T, content []byte) *os.File {
	t.Helper()
	f, err := os.Open(harness.File(t, "content", string(content)))
	harness.Must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func read(t *testing.T, target backup.Target, name string) ([]byte, error) {
	from, err := target.Get(t.Context(), name)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	return io.ReadAll(from)
}

func TestBackupsAreKeptInABucket(t *testing.T) {
	s3 := serve(t, nil)
	for _, to := range []string{"s3://backups", "s3://backups/of accounts+1/ü"} {
		target := open(t, to, s3)
		if list, err := target.List(t.Context()); err != nil || len(list) > 0 {
			t.Fatalf("%s: an empty target lists %v, %v", to, list, err)
		}
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
		older, newer := backup.NameOf(noon, 9), backup.NameOf(noon, 10)
		for _, name := range []string{newer, older} {
			harness.Must(t, target.Put(t.Context(), name, file(t, content)))
		}
		list, err := target.List(t.Context())
		if err != nil || len(list) != 2 || list[0].Name != newer || list[1].Name != older || list[0].Size != int64(len(content)) {
			t.Errorf("%s: List gives %v, %v", to, list, err)
		}
		if got, err := read(t, target, newer); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: Get gives %d bytes, %v", to, len(got), err)
		}
		for range 2 {
			if err := target.Remove(t.Context(), newer); err != nil {
				t.Errorf("%s: Remove: %v", to, err)
			}
		}
		if _, err := read(t, target, newer); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Get of a removed backup gives %v", to, err)
		}
	}
}

func TestAllPagesOfALongListAreRead(t *testing.T) {
	target := open(t, "s3://backups", serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("list-type") == "2" && r.URL.Query().Get("max-keys") != "" {
				t.Error("the client bounds its pages")
			}
			next.ServeHTTP(w, r)
		})
	}))
	const many = 1100 // a page has 1000 at most
	empty := file(t, nil)
	for i := range many {
		harness.Must(t, target.Put(t.Context(), backup.NameOf(noon.Add(time.Duration(i)*time.Second), 1), empty))
	}
	list, err := target.List(t.Context())
	if err != nil || len(list) != many {
		t.Errorf("List gives %d backups, %v", len(list), err)
	}
}

// refusals says for each way in which S3 refuses what the operator is told.
func TestRefusalsSayWhatToDo(t *testing.T) {
	good := serve(t, nil)
	with := func(change func(*backup.S3)) backup.S3 {
		s3 := good
		change(&s3)
		return s3
	}
	for name, c := range map[string]struct {
		to   string
		s3   backup.S3
		want []string
	}{
		"no bucket":       {"s3://missing", good, []string{"NoSuchBucket", "create the bucket"}},
		"unknown key":     {"s3://backups", with(func(s *backup.S3) { s.AccessKey = "nobody" }), []string{"InvalidAccessKeyId", "backup.s3.access_key"}},
		"wrong secret":    {"s3://backups", with(func(s *backup.S3) { s.SecretKey = "wrong" }), []string{"SignatureDoesNotMatch", "backup.s3.secret_key"}},
		"nothing listens": {"s3://backups", with(func(s *backup.S3) { s.Endpoint = "http://127.0.0.1:1" }), []string{"connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := open(t, c.to, c.s3)
			_, listed := target.List(t.Context())
			put := target.Put(t.Context(), backup.NameOf(noon, 1), file(t, []byte("content")))
			for _, err := range []error{listed, put} {
				for _, want := range c.want {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("it says %v, without %q", err, want)
					}
				}
				if err != nil && strings.Contains(err.Error(), secretKey) {
					t.Errorf("the secret is in %v", err)
				}
			}
		})
	}
}

func TestWrongClockIsToldWithBothTimes(t *testing.T) {
	target := open(t, "s3://backups", serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("X-Amz-Date", noon.Add(-time.Hour).Format("20060102T150405Z")) // as a clock that is wrong sends it
			next.ServeHTTP(w, r)
		})
	}))
	_, err := target.List(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the clocks differ") {
		t.Errorf("it says %v", err)
	}
}

func TestCutUploadIsSentAgainAndNeverHalfABackup(t *testing.T) {
	var cuts atomic.Int32
	cuts.Store(1)
	s3 := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && cuts.Add(-1) >= 0 {
				io.CopyN(io.Discard, r.Body, 1<<20)
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	})
	target, content := open(t, "s3://backups", s3), bytes.Repeat([]byte("x"), 8<<20)
	if err := target.Put(t.Context(), backup.NameOf(noon, 1), file(t, content)); err != nil {
		t.Errorf("one cut: %v", err)
	}
	if got, err := read(t, target, backup.NameOf(noon, 1)); err != nil || !bytes.Equal(got, content) {
		t.Errorf("Get gives %d bytes, %v", len(got), err)
	}
	cuts.Store(1000)
	if err := target.Put(t.Context(), backup.NameOf(noon, 2), file(t, content)); err == nil {
		t.Error("a server that always cuts is no error")
	}
	if left := cuts.Load(); left != 997 {
		t.Errorf("it was tried %d times", 1000-left)
	}
	if list, err := target.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("List gives %v, %v", list, err)
	}
}

func TestCutDownloadIsAnError(t *testing.T) {
	s3 := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".db") {
				answer := httptest.NewRecorder()
				next.ServeHTTP(answer, r)
				w.Header().Set("Content-Length", answer.Header().Get("Content-Length"))
				w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	})
	target := open(t, "s3://backups", s3)
	harness.Must(t, target.Put(t.Context(), backup.NameOf(noon, 1), file(t, bytes.Repeat([]byte("x"), 1<<20))))
	if got, err := read(t, target, backup.NameOf(noon, 1)); err == nil {
		t.Errorf("%d bytes of 1 MiB are taken for all", len(got))
	}
}

func TestSlowServerIsWaitedForWhileItTakesBytes(t *testing.T) {
	target := open(t, "s3://backups", serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				r.Body = io.NopCloser(slow{r.Body})
			}
			next.ServeHTTP(w, r)
		})
	}))
	if err := target.Put(t.Context(), backup.NameOf(noon, 1), file(t, bytes.Repeat([]byte("x"), 256<<10))); err != nil {
		t.Error(err)
	}
}

// slow gives 16 KiB in 50 ms.
type slow struct{ io.Reader }

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(50 * time.Millisecond)
	return s.Reader.Read(p[:min(len(p), 16<<10)])
}

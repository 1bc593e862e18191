package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// against returns a bucket of a server that answers so, with a patience that a test can wait for.
func against(t *testing.T, answer http.HandlerFunc) *bucket {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	b, err := openBucket("backups", S3{Endpoint: server.URL, Region: "r", AccessKey: "k", SecretKey: "s", PathStyle: true})
	harness.Must(t, err)
	b.silence, b.pause = 100*time.Millisecond, time.Millisecond
	return b
}

// sized returns a file of so many bytes.
func sized(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	harness.Must(t, err)
	t.Cleanup(func() { f.Close() })
	harness.Must(t, f.Truncate(size))
	return f
}

func TestSilentServerEndsEveryRequest(t *testing.T) {
	name := NameOf(time.Now(), 1)
	content := sized(t, 64<<20) // more than the buffers of a connection
	over := make(chan struct{})
	b := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, name) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("the begin"))
			w.(http.Flusher).Flush()
		}
		<-over
	})
	t.Cleanup(func() { close(over) }) // before the server is closed
	_, listed := b.List(t.Context())
	put := b.Put(t.Context(), name, content)
	from, err := b.Get(t.Context(), name)
	harness.Must(t, err)
	defer from.Close()
	_, got := io.ReadAll(from)
	for what, err := range map[string]error{"List": listed, "Put": put, "Get": got} {
		if err == nil || !strings.Contains(err.Error(), "the server is silent for 100ms") && what != "Get" {
			t.Errorf("%s says %v", what, err)
		}
	}
}

func TestAnswerWithoutLengthIsRefused(t *testing.T) {
	b := against(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("the begin"))
		w.(http.Flusher).Flush()
	})
	if _, err := b.Get(t.Context(), NameOf(time.Now(), 1)); err == nil || !strings.Contains(err.Error(), "length") {
		t.Errorf("it says %v", err)
	}
}

func TestErrorOfAServerIsOnePrintableLine(t *testing.T) {
	long := strings.Repeat("long", 10_000)
	for _, c := range []struct {
		status         int
		location, body string
		want           string
	}{
		{403, "", "<Error><Code>Bad&#10;\x1b[31m</Code><Message>" + long + "</Message></Error>", "403 Forbidden"},
		{403, "", "<Error><Code>Bad&#10;</Code><Message>" + long + "</Message></Error>", "Bad: long"},
		{200, "", "<" + long + "/>", "check backup.s3.endpoint"},
		{200, strings.Repeat(long, 3), "", "header"},
		{301, "http://%%%\x1b" + long, "", "Location"},
		{301, "https://s3.example/bucket", "", "it sends requests on to https://s3.example/bucket: check backup.s3.region and backup.s3.endpoint"},
		{307, "", "", "it sends requests on to a server that it does not name: check backup.s3.region and backup.s3.endpoint"},
		{307, "", "<Error><Code>TemporaryRedirect</Code></Error>", "check backup.s3.region and backup.s3.endpoint"},
	} {
		b := against(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", c.location)
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		})
		b.silence = silenceTimeout
		_, err := b.List(t.Context())
		if err == nil || len(err.Error()) > 900 || strings.ContainsAny(err.Error(), "\n\x1b") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: it says %.2000q, want one short line with %q", c.status, err, c.want)
		}
	}
}

func TestFileBeyondOneRequestIsRefused(t *testing.T) {
	b := against(t, func(http.ResponseWriter, *http.Request) { t.Error("it asks the server") })
	content := sized(t, 0)
	if err := content.Truncate(maxObject + 1); err != nil {
		t.Skip(err)
	}
	if err := b.Put(t.Context(), NameOf(time.Now(), 1), content); err == nil || !strings.Contains(err.Error(), "5 GiB") {
		t.Errorf("it says %v", err)
	}
}

func TestTargetsThatCannotBeAreRefused(t *testing.T) {
	good := S3{Region: "r", AccessKey: "k", SecretKey: "s"}
	for _, c := range []struct {
		to string
		s3 S3
	}{
		{"", good}, {"s3://", good}, {"s3:///prefix", good}, {"https://host/bucket", good}, {"s3://user:pass@bucket", good},
		{"s3://bucket", S3{AccessKey: "k", SecretKey: "s"}}, {"s3://bucket", S3{Region: "r", SecretKey: "s"}},
		{"s3://bucket", S3{Region: "r", AccessKey: "k", SecretKey: "s", Endpoint: "minio:9000"}},
		{"s3://bucket", S3{Region: "r", AccessKey: "k", SecretKey: "s", Endpoint: "http://user:pass@minio"}},
		{"s3://bucket", S3{Region: "r", AccessKey: "k", SecretKey: "s", Endpoint: "http://minio/path"}},
	} {
		if _, err := Open(c.to, c.s3); err == nil || strings.Contains(err.Error(), "pass") {
			t.Errorf("%q with %+v gives the error %v", c.to, c.s3, err)
		}
	}
	b, err := openBucket("bucket/p", good)
	if err != nil || b.base.String() != "https://bucket.s3.r.amazonaws.com/" {
		t.Errorf("AWS is reached at %s, %v", b.base.String(), err)
	}
}

const listHead = `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>backups</Name>`

func listed(size int, names ...string) (text string) {
	for _, name := range names {
		text += fmt.Sprintf("<Contents><Key>%s</Key><Size>%d</Size></Contents>", name, size)
	}
	return text
}

// TestListThatIsCutAndRetriedHasEachBackupOnce: what was read twice would count twice, and whole backups within
// backup.keep would be removed.
func TestListThatIsCutAndRetriedHasEachBackupOnce(t *testing.T) {
	first, second, asked := NameOf(time.Now(), 1), NameOf(time.Now(), 2), 0
	b := against(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, listHead, listed(7, first, second))
		if asked > 1 {
			fmt.Fprint(w, "</ListBucketResult>")
		}
	})
	if list, err := b.List(t.Context()); err != nil || len(list) != 2 || asked != 2 {
		t.Errorf("asked %d times, List gives %v, %v", asked, list, err)
	}
}

// TestListWithoutItsEndIsAnError: a server that does not know the parameter gives the first page for ever, and each
// would be kept in memory.
func TestListWithoutItsEndIsAnError(t *testing.T) {
	for _, token := range []string{"", "<NextContinuationToken>next</NextContinuationToken>"} {
		asked := 0
		b := against(t, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			fmt.Fprint(w, listHead, "<IsTruncated>true</IsTruncated>", token, listed(7, NameOf(time.Now(), 1)), "</ListBucketResult>")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if list, err := b.List(ctx); err == nil || !strings.Contains(err.Error(), "the list goes on") || asked > 2 {
			t.Errorf("asked %d times, List gives %d, %v", asked, len(list), err)
		}
	}
}

// TestPageOfAConsoleIsNoListAndStoresNothing: a console or a proxy answers 200 to anything.
func TestPageOfAConsoleIsNoListAndStoresNothing(t *testing.T) {
	b := against(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html><body>Log in</body></html>") })
	if list, err := b.List(t.Context()); err == nil || !strings.Contains(err.Error(), "backup.s3.endpoint") {
		t.Errorf("List gives %v, %v", list, err)
	}
	if err := b.Put(t.Context(), NameOf(time.Now(), 1), sized(t, 7)); err == nil {
		t.Error("Put takes the page for a stored backup")
	}
}

// TestOnlyAServerOfS3CanHaveStoredWhatItRefusesToList: a proxy can answer 200 to a PUT, and 403 to all else.
func TestOnlyAServerOfS3CanHaveStoredWhatItRefusesToList(t *testing.T) {
	for answer, stored := range map[string]bool{
		"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>": true,
		"<Error><Code>InvalidAccessKeyId</Code></Error>":                            false,
		"<html><body>Forbidden</body></html>":                                       false,
	} {
		b := against(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				w.WriteHeader(http.StatusForbidden)
				io.WriteString(w, answer)
			}
		})
		err := b.Put(t.Context(), NameOf(time.Now(), 1), sized(t, 7))
		if err == nil || errors.Is(err, ErrNotListed) != stored {
			t.Errorf("after %q Put says %v, want ErrNotListed: %v", answer, err, stored)
		}
	}
}

func TestBackupThatIsNotThereOrCutAfterItWasStoredIsAnError(t *testing.T) {
	name, answer := NameOf(time.Now(), 1), ""
	b := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, listHead, answer, "</ListBucketResult>")
		}
	})
	for _, answer = range []string{"", listed(6, name), listed(7, NameOf(time.Now(), 2))} {
		if err := b.Put(t.Context(), name, sized(t, 7)); err == nil || !strings.Contains(err.Error(), name+" is not there after it was stored") {
			t.Errorf("with %q Put says %v", answer, err)
		}
	}
	answer = listed(7, name)
	if err := b.Put(t.Context(), name, sized(t, 7)); err != nil {
		t.Error(err)
	}
}

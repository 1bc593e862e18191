package dependency

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

func TestWhatIsWrongWithAURLIsSaidWhenItIsRead(t *testing.T) {
	harness.Cases(t, "testdata/urls.txt", func(t *testing.T, lines []string) string {
		_, err := New(lines[0], time.Second, 3)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Fatalf("%v, want a fault and no secret", err)
		}
		return err.Error()
	})
}

func TestURLsThatAreWhole(t *testing.T) {
	for _, url := range []string{
		"http://a", "http://a?expect_status=2xx,401", "https://a/?cert_warn=0s", "tcp://a:1?expect=220", "tls://a:993?send=x%0D%0A&expect=*", "dns:///a", "dns://a/b?type=TXT&expect=x",
		"grpc://a:1?service=users.v1", "postgresql://u@a", "postgres://u@a:1,[::1]:2,b/db?role=standby", "redis://a", "rediss://:p@a/15", "amqp://a", "amqp://a/", "amqp://a/%2Fb", "nats://token@a", "nats://a/", "nats://u:p@a?tls=first&plaintext_login=refuse",
	} {
		if _, err := New(url, time.Second, 3); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestHTTPSendsOnTheParametersThatAreNoOptions(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.RawQuery
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	for query, want := range map[string]string{
		"full=1&expect_status=418&b=%20x&b":   "full=1&b=%20x&b",
		"expect_status=200-299,400-499":       "",
		"expect%5Fstatus=1&expect_status=418": "expect%5Fstatus=1", // the service has one of that name, too
		"expect_status=418&":                  "",
	} {
		if err := ask(t, server.URL+"/?"+query, ample); err != nil || got != want {
			t.Errorf("%s: %v, the service was asked %q; want %q", query, err, got, want)
		}
	}
	says(t, ask(t, fmt.Sprint(server.URL, "/?expect_status=200,417,419-599"), ample), "answer: it answers 418 I'm a teapot")
}

// Else the service would hang before it listens, and say nothing.
func TestANamedPipeInsteadOfAFileIsAFault(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	harness.Must(t, syscall.Mkfifo(pipe, 0o600))
	for url, want := range map[string]string{
		"http://a/?header_file=" + pipe:                      "has a header_file that can't be used",
		"https://a/?cert_file=" + pipe + "&key_file=" + pipe: "has a cert_file and key_file that are no certificate",
		"nats://a?creds_file=" + pipe:                        "has a creds_file without a seed",
		"https://a/?ca_file=" + pipe:                         "names in option ca_file what is no regular file",
	} {
		read := make(chan error, 1)
		go func() { _, err := New(url, time.Second, 3); read <- err }()
		select {
		case err := <-read:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", url, err, want)
			}
		case <-time.After(ample):
			t.Errorf("%s: it is still read after %s", url, ample)
		}
	}
}

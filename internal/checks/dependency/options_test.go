package dependency

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

func TestWhatIsWrongWithAURLIsSaidWhenItIsRead(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	harness.Must(t, os.WriteFile(empty, []byte("hunter2"), 0o600))
	for url, want := range map[string]string{
		"http://u:hunter2@%zz/":                           "is no URL",
		"ftp://u:hunter2@a/":                              "has an unknown scheme: there are amqp, amqps, dns, grpc, grpcs, http, https, nats, postgres",
		"https://u:hunter2@a/?expect_statu=200":           "has an unknown option, did you mean expect_status?",
		"http://a/?expect_status=hunter2":                 "must have codes from 200 to 599 as its option expect_status, or ranges of them, such as 200-299,401",
		"http://a/?expect_status=299-200":                 "must have codes from 200 to 599",
		"http://a/?expect_status=":                        "has an empty option expect_status: give it a value or leave it out",
		"http://a/?expect_status=200&expect_status":       "sets option expect_status twice: keep one",
		"https://a/?ca_file=/nowhere/hunter2":             "names a file in option ca_file that can't be found: is it mounted, and the name right?",
		"https://a/?ca_file=" + empty:                     "names a file in option ca_file without a PEM certificate",
		"https://a/?ca_file=/":                            "names in option ca_file what is no regular file of at most 1 MiB",
		"tls://a:1?cert_warn=14d":                         "must have a duration with units as its option cert_warn, such as 336h",
		"tls://a:1?cert_warn=-1h":                         "must have a duration with units as its option cert_warn, such as 336h",
		"tcp://a":                                         "has no port: write it as scheme://host:port",
		"tcp://a:1/path":                                  "must have no path",
		"tcp://u:hunter2@a:1":                             "must have no user and no password",
		"tcp://a:1?send=hunter2":                          "has option send without expect, what the answer starts with",
		"tcp://a:1?expect=%zz":                            "has an option with a broken %: write %25 for the sign itself",
		"tcp://a:1?ca_file=hunter2":                       "has an unknown option: tcp takes expect, send",
		"redis://a?db=hunter2":                            "has an unknown option: redis takes none",
		"rediss://a?db=hunter2":                           "has an unknown option: rediss takes ca_file, cert_warn, server_name",
		"redis://a/hunter2":                               "must have the number of a database as its path, or none",
		"grpc://a:1?servic=x":                             "has an unknown option, did you mean service?",
		"grpc://a:1?service=" + strings.Repeat("x", 2000): "has too long an option service",
		"amqp://u:hunter2@a/b/c":                          "must have one virtual host as its path: write a / in its name as %2F",
		"postgres://a/db":                                 "has no user: write it as postgres://user:password@host/database",
		"postgres://u:hunter2@a/db?sslmode=allow":         "must have prefer or disable or require or verify-full as its option sslmode",
		"dns://a":                    "has no name to ask for: write it as dns://server/name, or dns:///name for the system's name servers",
		"dns:///10.0.0.1":            "has an address to ask for: dns asks for a name",
		"dns://a/a..b":               "has a name to ask for that can be none: between its dots are 1 to 63 characters (RFC 1035, 2.3.4)",
		"dns://a/10.0.0.1.":          "has an address to ask for: dns asks for a name",
		"dns://a/fd00::1?type=TXT":   "has an address to ask for: dns asks for a name",
		"dns:///a?type=PTR":          "must have A or AAAA or MX or NS or SRV or TXT as its option type",
		"nats://a/path":              "must have no path",
		"nats://a/path?servername=b": "must have no path; has an unknown option, did you mean server_name?",
		"http://:80/":                "has no host: write it as scheme://host",
	} {
		_, err := New(url, time.Second, 3)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.60s: %v, want %s", url, err, want)
		}
	}
}

func TestURLsThatAreWhole(t *testing.T) {
	for _, url := range []string{
		"http://a", "https://a/?cert_warn=0s", "tcp://a:1?expect=220", "tls://a:993?send=x%0D%0A&expect=*", "dns:///a", "dns://a/b?type=TXT&expect=x",
		"grpc://a:1?service=users.v1", "postgresql://u@a", "redis://a", "redis://:p@a/15", "amqp://a", "amqp://a/", "amqp://a/%2Fb", "nats://token@a", "nats://a/",
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
	if err := ask(t, fmt.Sprint(server.URL, "/?expect_status=200,417,419-599"), ample); err == nil || err.Error() != "answer: it answers 418 I'm a teapot" {
		t.Errorf("%v, want the status", err)
	}
}

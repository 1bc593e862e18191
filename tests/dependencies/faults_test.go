//go:build linux

package dependencies

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"accountservice/internal/checks/dependency"
	"accountservice/tests/harness"
)

// faulty are the kinds with a server of their own, and what is said of its real faults.
var faulty = []struct {
	name   string
	make   func(t *testing.T, certificate string) *program
	url    string // %s is the address
	hung   string // the phase in which a kept connection hangs
	others map[string]string
}{
	{"redis", newRedis, "redis://:hunter2@%s/1?plaintext_login=allow", "ping", map[string]string{
		"redis://:wrong-hunter2@%s?plaintext_login=allow": "authentication: the server refuses the user name or password (WRONGPASS)",
		"redis://%s": "authentication: the server wants a password (NOAUTH)",
		"redis://:hunter2@%s/9999?plaintext_login=allow": "authentication: the server refuses the user name, password or database",
		"rediss://:hunter2@%s":                           "TLS handshake: ",
	}},
	{"nats", newNATS, "nats://u:hunter2@%s?plaintext_login=allow", "ping", map[string]string{
		"nats://u:wrong-hunter2@%s?plaintext_login=allow": "authentication: the server refuses the user name, password or token",
		"nats://%s": "authentication: the server refuses the user name, password or token",
		"nats://u:hunter2@%s?server_name=a.test&plaintext_login=allow": "greeting: the server offers no TLS",
	}},
	{"amqp", newRabbitMQ, "amqp://u:hunter2@%s?plaintext_login=allow", "channel open", map[string]string{
		"amqp://u:wrong-hunter2@%s?plaintext_login=allow": "authentication: the broker refuses the user name or password (403)",
		"amqp://u:hunter2@%s/none?plaintext_login=allow":  "authentication: there is no such virtual host (530)",
		"amqps://u:hunter2@%s":                            "TLS handshake: ",
	}},
	{"postgres", newPostgres, "postgres://u:hunter2@%s/postgres", "query", map[string]string{
		"postgres://u:wrong-hunter2@%s/postgres":           "authentication: the server refuses the user name, the password or this host (28P01)",
		"postgres://nobody:hunter2@%s/postgres":            "authentication: the server refuses the user name, the password or this host (28P01)",
		"postgres://u:hunter2@%s/none":                     "authentication: there is no such database (3D000)",
		"postgres://u:hunter2@%s/postgres?sslmode=require": "greeting: the server offers no TLS",
		"redis://:hunter2@%s?plaintext_login=allow":        "authentication: ",
	}},
	{"mariadb", newMariaDB, "mariadb://u:hunter2@%s/mysql", "query", map[string]string{
		"mysql://u:wrong-hunter2@%s":              "authentication: the server refuses the user name, the password or this host (1045)",
		"mysql://u:hunter2@%s/none":               "authentication: there is no such database (1049)",
		"mysql://u:hunter2@%s?server_name=a.test": "greeting: the server offers no TLS",
	}},
	{"memcached", newMemcached, "memcached://%s", "query", map[string]string{
		"mqtt://%s": "authentication: ",
	}},
	{"mqtt", newMosquitto, "mqtt://u:hunter2@%s?plaintext_login=allow", "ping", map[string]string{
		"mqtt://u:wrong-hunter2@%s?plaintext_login=allow": "authentication: the broker refuses the user name or password, or wants one (5)",
		"mqtt://%s":            "authentication: the broker refuses the user name or password, or wants one (5)",
		"mqtts://u:hunter2@%s": "TLS handshake: ",
	}},
	{"kafka", newKafkaSASL, "kafka://u:hunter2@%s?topic=orders", "query", map[string]string{
		"kafka://u:wrong-hunter2@%s": "authentication: the server closed the connection",
		"kafka://%s":                 "query: the server closed the connection",
		"kafkas://u:hunter2@%s":      "TLS handshake: ",
	}},
	{"ldap", newSlapd, "ldap://cn=u,dc=test:hunter2@%s?plaintext_login=allow", "query", map[string]string{
		"ldap://cn=u,dc=test:wrong-hunter2@%s?plaintext_login=allow": "authentication: the server refuses the user name or password (49)",
		"ldap://u:hunter2@%s?plaintext_login=allow":                  "authentication: the user name is not that of an entry, such as cn=reader,dc=example,dc=com (34)",
		"ldap://cn=u,dc=test:hunter2@%s?starttls=require":            "greeting: the server wants TLS, or does not offer it (2)",
	}},
	{"dns", newDNSMasq, "dns://%s/users.test", "query", map[string]string{
		"dns://%s/nobody.example":             "query: the name server refuses this question, or knows nobody to ask (REFUSED)",
		"dns://%s/users.test?expect=10.0.0.9": "query: users.test.: no A record is as expected",
		"dns://%s/users.test?type=TXT":        "query: the name server refuses this question, or knows nobody to ask (REFUSED)", // it has nobody to ask
	}},
}

func TestFaultsOfRealServers(t *testing.T) {
	needServers(t)
	for _, k := range faulty {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			p := k.make(t, "")
			p.start()
			url := fmt.Sprintf(k.url, p.addr)
			run, idle := newRun(t, url), newRun(t, url)
			passes(t, run) // it listens before it is ready
			for other, want := range k.others {
				wants(t, newRun(t, fmt.Sprintf(other, p.addr)), want)
			}
			for range 20 {
				wants(t, run, "")
				if n := len(harness.Established(t, p.addr)); n > 1 {
					t.Errorf("%d connections", n)
				}
			}
			p.hang()
			wants(t, run, k.hung+": no answer in time")
			for range 3 {
				wants(t, run, ": no answer in time")
				if n := len(harness.Established(t, p.addr)); n > 1 {
					t.Errorf("%d connections to a hung server", n)
				}
			}
			p.resume()
			passes(t, run)
			wants(t, idle, "")
			p.stop() // cuts the connection of idle, which is not asked meanwhile
			if k.name == "dns" {
				wants(t, run, "query: the name server refuses connections")
			} else {
				wants(t, run, "connect: "+p.addr+": connection refused")
			}
			p.start()
			passes(t, run)
			wants(t, idle, "")
		})
	}
}

// secure are the kinds with a server of their own that speaks TLS.
var secure = map[string]struct {
	make func(*testing.T, string) *program
	url  string
}{
	"redis":    {newRedis, "rediss://:hunter2@%s/"},
	"nats":     {newNATS, "nats://u:hunter2@%s/"},
	"amqp":     {newRabbitMQ, "amqps://u:hunter2@%s/"},
	"valkey":   {newRedis, "valkeys://:hunter2@%s/"},
	"mysql":    {newMariaDB, "mysql://u:hunter2@%s/mysql"},
	"mqtt":     {newMosquitto, "mqtts://u:hunter2@%s/"},
	"kafka":    {newKafka, "kafkas://%s/"},
	"ldap":     {newSlapd, "ldap://cn=u,dc=test:hunter2@%s/"},
	"ldaps":    {newSlapdTLS, "ldaps://cn=u,dc=test:hunter2@%s/"},
	"postgres": {newPostgres, "postgresql://u:hunter2@%s/postgres"},
}

func TestRealServersOverTLS(t *testing.T) {
	needServers(t)
	ca := harness.NewAuthority(t).File
	for name, k := range secure {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := k.make(t, ca)
			p.start()
			url := fmt.Sprintf(k.url, p.addr)
			passes(t, newRun(t, url+"?ca_file="+ca))
			wants(t, newRun(t, url+"?server_name=127.0.0.1"), "TLS handshake: its certificate is signed by an unknown authority")
			wants(t, newRun(t, url+"?server_name=db.test&ca_file="+ca), "TLS handshake: its certificate is for another name than db.test")
			soon := newRun(t, url+"?cert_warn=8000h&ca_file="+ca)
			for range 2 {
				wants(t, soon, "its certificate ends on ")
			}
			if name == "postgres" { // which does not verify then
				for _, mode := range []string{"prefer", "require", "disable"} {
					wants(t, newRun(t, url+"?sslmode="+mode), "")
				}
			}
		})
	}
}

func TestFaultsOfARealGRPCServer(t *testing.T) {
	needServers(t)
	state := health.NewServer()
	server := newGRPC(t, state, nil)
	server.start()
	run := newRun(t, "grpc://"+server.addr+"?service=users.v1")
	wants(t, run, "answer: it answers NOT_FOUND: it knows no such service")
	state.SetServingStatus("users.v1", grpc_health_v1.HealthCheckResponse_SERVING)
	wants(t, run, "")
	state.SetServingStatus("users.v1", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	wants(t, run, "answer: it says NOT_SERVING")
	state.Resume()
	for range 20 {
		wants(t, run, "")
	}
	if n := len(harness.Established(t, server.addr)); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	server.stop()
	wants(t, run, "connect: "+server.addr+": connection refused")
	server.start()
	wants(t, run, "")
}

// run asks once, within this time.
type run func(timeout time.Duration) error

// newRun is a check of url that always asks.
func newRun(t *testing.T, url string) run {
	t.Helper()
	asker, err := dependency.New(url, timeout, 1000)
	harness.Must(t, err)
	return func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		return asker.Ask(ctx)
	}
}

// wants makes one run that must give this error, or none. It has ample time where it is not to use it up.
func wants(t *testing.T, run run, want string) {
	t.Helper()
	patience := ample
	if strings.HasSuffix(want, "in time") {
		patience = timeout
	}
	began := time.Now()
	err := run(patience)
	if took := time.Since(began); took > patience+timeout {
		t.Errorf("took %v of %v", took, patience)
	}
	switch {
	case want == "" && err != nil:
		t.Errorf("%v, want it healthy", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%v, want %s", err, want)
	case err != nil && strings.Contains(err.Error(), "hunter2"):
		t.Errorf("%v has a password in it", err)
	}
}

// passes waits for a run that passes.
func passes(t *testing.T, run run) {
	t.Helper()
	harness.Must(t, harness.Eventually(time.Minute, func() error { return run(timeout) }))
}

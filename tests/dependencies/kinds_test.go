//go:build linux

// Package dependencies watches real servers with the real service. It knows the service by its environment variables
// and its answers, and the checks of dependencies by their URLs.
package dependencies

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/internal/checks/dependency"
	"accountservice/tests/harness"

	"google.golang.org/grpc/health"
)

// wanted is whether the tests of this package are asked for.
var wanted = os.Getenv("DEPENDENCY_TEST") == "1"

func needServers(t *testing.T) {
	t.Helper()
	if !wanted {
		t.Skip("needs redis-server, nats-server, rabbitmq-server, postgresql, dnsmasq, mariadb-server, mosquitto, memcached, slapd and a Go compiler: DEPENDENCY_TEST=1 asks for them, and fails without (make dependency-test)")
	}
}

// server is something that listens and can be stopped.
type server interface {
	start()
	stop()
	address() string
}

// plain is a program without TLS.
func plain(make func(*testing.T, string) *program) func(*testing.T) server {
	return func(t *testing.T) server { return make(t, "") }
}

// The published defaults of every check, and how far attempts to connect are spaced while a server is away.
const (
	interval, timeout, failAfter = 2 * time.Second, time.Second, 2
	backoff                      = 5 * time.Second
	ample                        = 10 * time.Second // for what is not to be late
)

// watched is a kind of dependency and a server of it.
type watched struct {
	name, url string // %s is the address
	make      func(t *testing.T) server
}

// allWatched are servers of all kinds; the certificate of the authority is in the file ca.
func allWatched(ca string, config *tls.Config) []watched {
	return []watched{
		{"http", "http://%s/health", func(t *testing.T) server { return newHTTP(t, nil) }},
		{"https", "https://%s/health?ca_file=" + ca, func(t *testing.T) server { return newHTTP(t, config) }},
		{"tcp", "tcp://%s?expect=220", func(t *testing.T) server { return newBanner(t, nil) }},
		{"tls", "tls://%s?ca_file=" + ca, func(t *testing.T) server { return newBanner(t, config) }},
		{"dns", "dns://%s/users.test?expect=10.0.0.1", plain(newDNSMasq)},
		{"grpc", "grpc://%s", func(t *testing.T) server { return newGRPC(t, health.NewServer(), nil) }},
		{"grpcs", "grpcs://%s?ca_file=" + ca, func(t *testing.T) server { return newGRPC(t, health.NewServer(), config) }},
		{"postgres", "postgres://u:hunter2@%s/postgres", plain(newPostgres)},
		{"redis", "redis://:hunter2@%s/0?plaintext_login=allow", plain(newRedis)},
		{"valkey", "valkey://:hunter2@%s/0?plaintext_login=allow", plain(newRedis)},
		{"mysql", "mysql://u:hunter2@%s/?role=primary", plain(newMariaDB)},
		{"mongodb", "mongodb://u:hunter2@%s/?role=primary", func(t *testing.T) server { return newMongoDB(t, nil) }},
		{"memcached", "memcached://%s", plain(newMemcached)},
		{"mqtt", "mqtt://u:hunter2@%s?plaintext_login=allow", plain(newMosquitto)},
		{"ldap", "ldap://cn=u,dc=test:hunter2@%s?plaintext_login=allow", plain(newSlapd)},
		{"kafka", "kafka://u:hunter2@%s?topic=orders", plain(newKafkaSASL)},
		{"smtp", "smtp://u:hunter2@%s?ca_file=" + ca, func(t *testing.T) server { return newSMTP(t, config, false) }},
		{"smtps", "smtps://u:hunter2@%s?ca_file=" + ca, func(t *testing.T) server { return newSMTP(t, config, true) }},
		{"amqp", "amqp://u:hunter2@%s?plaintext_login=allow", plain(newRabbitMQ)},
		{"nats", "nats://u:hunter2@%s?plaintext_login=allow", plain(newNATS)},
	}
}

// Each scheme must be in the URL of one of the tests with real servers.
func TestEveryKindHasARealServer(t *testing.T) {
	asked := map[string]bool{}
	note := func(url string) { asked[url[:strings.Index(url, "://")]] = true }
	for _, k := range allWatched("", nil) {
		note(k.url)
	}
	for _, k := range faulty {
		note(k.url)
		for url := range k.others {
			note(url)
		}
	}
	for _, k := range secure {
		note(k.url)
	}
	for _, scheme := range dependency.Schemes() {
		if !asked[scheme] {
			t.Errorf("%s is asked of no real server: add a row to allWatched, faulty or secure", scheme)
		}
	}
}

// Kinds are declared by environment variables alone: no file, no code.
func TestAllKindsByEnvironmentVariablesAlone(t *testing.T) {
	needServers(t)
	authority := harness.NewAuthority(t)
	kinds := allWatched(authority.File, &tls.Config{Certificates: []tls.Certificate{authority.Own()}, NextProtos: []string{"h2", "http/1.1"}})
	env := make([]string, 0, len(kinds))
	servers := make([]server, len(kinds))
	for i, k := range kinds {
		servers[i] = k.make(t)
		url := fmt.Sprintf(k.url, servers[i].address())
		env = append(env, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_"+strings.ToUpper(k.name)+"_PEER_URL="+url)
	}
	each(len(kinds), func(i int) { servers[i].start() })
	s := startService(t, env...)
	lines := make([]string, len(kinds))
	each(len(kinds), func(i int) {
		name := kinds[i].name + "_peer" // tls and postgres alone are reserved
		// a server that listens may not be ready: RabbitMQ is not
		green := s.await(name, "ok", 30*time.Second)
		stopping := time.Now()
		servers[i].stop()
		const bound = interval*failAfter + timeout + time.Second
		s.await(name, "failing", bound)
		red := time.Since(stopping)
		if red > bound {
			t.Errorf("%s: red %v after its stop, want %v", name, red, bound)
		}
		why := s.Health().Checks[name].Error
		servers[i].start()
		back := s.await(name, "ok", 30*time.Second+backoff+2*interval)
		lines[i] = fmt.Sprintf("%-13s %6.2f %6.2f %6.2f   %s", name, green.Seconds(), red.Seconds(), back.Seconds(), why)
	})
	t.Logf("seconds\n%-13s %6s %6s %6s   %s\n%s", "kind", "green", "red", "again", "error while it was away", strings.Join(lines, "\n"))
}

// each calls f for 0 to n-1, all at once, and waits.
func each(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

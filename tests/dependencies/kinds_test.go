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

	"accountservice/tests/harness"

	"google.golang.org/grpc/health"
)

// wanted is whether the tests of this package are asked for.
var wanted = os.Getenv("DEPENDENCY_TEST") == "1"

func needServers(t *testing.T) {
	t.Helper()
	if !wanted {
		t.Skip("needs redis-server, nats-server, rabbitmq-server, postgresql and dnsmasq: DEPENDENCY_TEST=1 asks for them, and fails without (make dependency-test)")
	}
}

// server is something that listens and can be stopped.
type server interface {
	start()
	stop()
}

// The published defaults of every check, and how far attempts to connect are spaced while a server is away.
const (
	interval, timeout, failAfter = 2 * time.Second, time.Second, 2
	backoff                      = 5 * time.Second
	ample                        = 10 * time.Second // for what is not to be late
)

// Ten kinds, declared by environment variables alone: no file, no code.
func TestTenKindsByEnvironmentVariablesAlone(t *testing.T) {
	needServers(t)
	authority := harness.NewAuthority(t)
	ca, config := authority.File, &tls.Config{Certificates: []tls.Certificate{authority.Own()}, NextProtos: []string{"h2", "http/1.1"}}
	kinds := []struct {
		name, url string // %s is the address
		make      func(t *testing.T) (server, string)
	}{
		{"http", "http://%s/health", func(t *testing.T) (server, string) { o := newHTTP(t, nil); return o, o.addr }},
		{"https", "https://%s/health?ca_file=" + ca, func(t *testing.T) (server, string) { o := newHTTP(t, config); return o, o.addr }},
		{"tcp", "tcp://%s?expect=220", func(t *testing.T) (server, string) { o := newBanner(t, nil); return o, o.addr }},
		{"tls", "tls://%s?ca_file=" + ca, func(t *testing.T) (server, string) { o := newBanner(t, config); return o, o.addr }},
		{"dns", "dns://%s/users.test?expect=10.0.0.1", func(t *testing.T) (server, string) { p := newDNSMasq(t, ""); return p, p.addr }},
		{"grpc", "grpc://%s", func(t *testing.T) (server, string) { o := newGRPC(t, health.NewServer()); return o, o.addr }},
		{"postgres", "postgres://u:hunter2@%s/postgres", func(t *testing.T) (server, string) { p := newPostgres(t, ""); return p, p.addr }},
		{"redis", "redis://:hunter2@%s/0", func(t *testing.T) (server, string) { p := newRedis(t, ""); return p, p.addr }},
		{"amqp", "amqp://u:hunter2@%s", func(t *testing.T) (server, string) { p := newRabbitMQ(t, ""); return p, p.addr }},
		{"nats", "nats://u:hunter2@%s", func(t *testing.T) (server, string) { p := newNATS(t, ""); return p, p.addr }},
	}
	env := make([]string, 0, len(kinds))
	servers := make([]server, len(kinds))
	for i, k := range kinds {
		var addr string
		servers[i], addr = k.make(t)
		env = append(env, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_"+strings.ToUpper(k.name)+"_PEER_URL="+fmt.Sprintf(k.url, addr))
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

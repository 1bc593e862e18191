//go:build linux

package dependencies

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/health"

	"accountservice/tests/harness"
)

// compared is a kind of which health-go has a check, too. %s in URLs is the address, and health-go's are as it wants them.
type compared struct {
	check        string // of health-go
	make         func(t *testing.T) server
	overTLS      func(t *testing.T, certificate string) *program // where TLS begins after words of the protocol: only a real server shows its certificate
	ours, theirs string
	secure       [2]string // over TLS, with the certificate verified
	refused      [2]string // a wrong password; none if there are no passwords
	ill          func(t *testing.T, p server) asked
}

// asked is what the two sides ask; nothing if this kind can't have the fault. opened counts their connections.
type asked struct {
	ours, theirs string
	opened       []func() int32
}

// comparedKinds are all of health-go's checks for which there is a server. Its pgx4 and postgres ask as pgx5 does.
var comparedKinds = []compared{
	{check: "mysql", make: plain(newMariaDB), overTLS: newMariaDB, ours: "mysql://u:hunter2@%s/mysql", theirs: "u:hunter2@tcp(%s)/mysql", ill: readOnlyMariaDB,
		secure:  [2]string{"mysql://u:hunter2@%s/mysql?server_name=127.0.0.1", "u:hunter2@tcp(%s)/mysql?tls=true"},
		refused: [2]string{"mysql://u:wrong@%s/mysql", "u:wrong@tcp(%s)/mysql"}},
	{check: "redis", make: plain(newRedis), ours: "redis://:hunter2@%s/0?plaintext_login=allow", theirs: "redis://:hunter2@%s/0", ill: replicaOfRedis,
		secure:  [2]string{"rediss://:hunter2@%s/0", "rediss://:hunter2@%s/0"},
		refused: [2]string{"redis://:wrong@%s/0?plaintext_login=allow", "redis://:wrong@%s/0"}},
	{check: "rabbitmq", make: plain(newRabbitMQ), ours: "amqp://u:hunter2@%s?plaintext_login=allow", theirs: "amqp://u:hunter2@%s/", ill: alarmedRabbitMQ,
		secure:  [2]string{"amqps://u:hunter2@%s", "amqps://u:hunter2@%s/"},
		refused: [2]string{"amqp://u:wrong@%s?plaintext_login=allow", "amqp://u:wrong@%s/"}},
	{check: "mongo", make: func(t *testing.T) server { return newMongoDB(t, nil) }, ours: "mongodb://u:hunter2@%s/", theirs: "mongodb://u:hunter2@%s/?authMechanism=SCRAM-SHA-256",
		secure:  [2]string{"mongodb://u:hunter2@%s/?server_name=127.0.0.1", "mongodb://u:hunter2@%s/?tls=true"},
		refused: [2]string{"mongodb://u:wrong@%s/", "mongodb://u:wrong@%s/?authMechanism=SCRAM-SHA-256"}},
	{check: "nats", make: plain(newNATS), overTLS: newNATS, ours: "nats://u:hunter2@%s?plaintext_login=allow", theirs: "nats://u:hunter2@%s",
		secure:  [2]string{"nats://u:hunter2@%s?server_name=127.0.0.1", "tls://u:hunter2@%s"},
		refused: [2]string{"nats://u:wrong@%s?plaintext_login=allow", "nats://u:wrong@%s"}},
	{check: "grpc", make: plain(newEtcd), ours: "grpc://%s", theirs: "%s", secure: [2]string{"grpcs://%s", "%s"}, ill: illGRPC},
	{check: "http", make: plain(newHAProxy), ours: "http://%s/health", theirs: "http://%s/health", ill: illPage,
		secure:  [2]string{"https://%s/health", "https://%s/health"},
		refused: [2]string{"http://u:wrong@%s/private", "http://u:wrong@%s/private"}},
	{check: "pgx5", make: plain(newPostgres), overTLS: newPostgres, ours: "postgres://u:hunter2@%s/postgres", theirs: "postgres://u:hunter2@%s/postgres", ill: readOnlyPostgres,
		secure:  [2]string{"postgres://u:hunter2@%s/postgres?sslmode=verify-full", "postgres://u:hunter2@%s/postgres?sslmode=verify-full"},
		refused: [2]string{"postgres://u:wrong@%s/postgres", "postgres://u:wrong@%s/postgres"}},
}

func (k compared) at(addr string) asked { return at([2]string{k.ours, k.theirs}, addr) }

func at(urls [2]string, addr string) asked {
	if urls[0] == "" {
		return asked{}
	}
	return asked{ours: fmt.Sprintf(urls[0], addr), theirs: fmt.Sprintf(urls[1], addr)}
}

// misfortune is a fault that both sides are asked about.
type misfortune struct {
	name, example string // example is the check whose words are in the table
	healthy       bool
	ask           func(t *testing.T, k compared, p server) asked
	begin, end    func(server) // of a fault that comes to checks that passed
}

var misfortunes = []misfortune{
	{name: "none", healthy: true, ask: counted},
	{name: "the server is killed, later started again", example: "rabbitmq", ask: atServer, begin: server.stop, end: server.start},
	{name: "the server hangs (SIGSTOP), later goes on", example: "pgx5", ask: atProgram,
		begin: func(p server) { p.(*program).hang() }, end: func(p server) { p.(*program).resume() }},
	{name: "the host swallows packets", example: "nats", ask: func(t *testing.T, k compared, _ server) asked {
		return k.at(harness.FullQueue(t, "tcp4", "127.0.0.1:0"))
	}},
	{name: "it accepts and says nothing", example: "mysql", ask: atPeer(harness.Silent)},
	{name: "each answer is 1.5 s late, the deadline is 1 s", example: "redis", ask: func(t *testing.T, k compared, p server) asked {
		return k.at(newMiddle(t, p.address(), 3*timeout/2, 0).addr)
	}},
	{name: "the connection is reset within the first answer", example: "http", ask: func(t *testing.T, k compared, p server) asked {
		return k.at(newMiddle(t, p.address(), 0, 7).addr)
	}},
	{name: "another protocol answers", example: "grpc", ask: atPeer(func(c net.Conn) {
		io.WriteString(c, "\x7f\xffnothing\r\nnothing\r\n")
		harness.Silent(c)
	})},
	{name: "its name does not exist", example: "redis", ask: func(_ *testing.T, k compared, _ server) asked {
		return k.at("no-such-host.invalid:1")
	}},
	{name: "wrong password", example: "mongo", ask: func(_ *testing.T, k compared, p server) asked { return at(k.refused, p.address()) }},
	{name: "untrusted certificate", example: "mysql", ask: untrusted},
	{name: "it does not do its work", example: "pgx5", ask: func(t *testing.T, k compared, p server) asked {
		if k.ill == nil {
			return asked{}
		}
		return k.ill(t, p)
	}},
}

// atProgram asks a server that is no part of this process, which can't halt itself.
func atProgram(t *testing.T, k compared, p server) asked {
	if _, is := p.(*program); !is {
		return asked{}
	}
	return atServer(t, k, p)
}

func atServer(_ *testing.T, k compared, p server) asked { return k.at(p.address()) }

// counted asks the server through a proxy for each side.
func counted(t *testing.T, k compared, p server) asked {
	ours, theirs := newMiddle(t, p.address(), 0, 0), newMiddle(t, p.address(), 0, 0)
	return asked{k.at(ours.addr).ours, k.at(theirs.addr).theirs, []func() int32{ours.opened.Load, theirs.opened.Load}}
}

// atPeer asks a peer that behaves so on every connection.
func atPeer(behave func(net.Conn)) func(*testing.T, compared, server) asked {
	return func(t *testing.T, k compared, _ server) asked {
		return k.at(harness.Serve(t, behave).String())
	}
}

func untrusted(t *testing.T, k compared, _ server) asked {
	authority := harness.NewAuthority(t)
	if k.overTLS != nil {
		return at(k.secure, started(k.overTLS(t, authority.File)).addr)
	}
	config := &tls.Config{Certificates: []tls.Certificate{authority.Own()}, NextProtos: []string{"h2", "http/1.1"}}
	return at(k.secure, harness.Serve(t, func(c net.Conn) { harness.Silent(tls.Server(c, config)) }).String())
}

// middle counts the connections to addr.
type middle struct {
	addr   string
	opened atomic.Int32
}

// newMiddle is a proxy before a server that passes each part of its answers on after some time, or, if most is not 0,
// resets the connection after so many of their bytes.
func newMiddle(t *testing.T, to string, late time.Duration, most int64) *middle {
	t.Helper()
	m := &middle{}
	m.addr = harness.Serve(t, func(c net.Conn) {
		m.opened.Add(1)
		server, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer server.Close()
		go func() {
			defer server.Close()
			io.Copy(server, c)
		}()
		if most > 0 {
			io.CopyN(c, server, most)
			c.(*net.TCPConn).SetLinger(0)
			return
		}
		part := make([]byte, 64<<10)
		for {
			n, err := server.Read(part)
			if err != nil {
				return
			}
			<-time.After(late)
			if _, err := c.Write(part[:n]); err != nil {
				return
			}
		}
	}).String()
	return m
}

func illGRPC(t *testing.T, _ server) asked {
	state := health.NewServer()
	state.Shutdown() // NOT_SERVING
	server := newGRPC(t, state, nil)
	server.start()
	return asked{ours: "grpc://" + server.addr, theirs: server.addr}
}

func illPage(_ *testing.T, p server) asked {
	return asked{ours: "http://" + p.address() + "/ill", theirs: "http://" + p.address() + "/ill"}
}

func readOnlyMariaDB(t *testing.T, p server) asked {
	makeMariaDBReadOnly(t, p.address())
	return asked{ours: "mysql://u:hunter2@" + p.address() + "/mysql?role=primary", theirs: "u:hunter2@tcp(" + p.address() + ")/mysql"}
}

func readOnlyPostgres(t *testing.T, p server) asked {
	makePostgresReadOnly(t, p.address())
	url := "postgres://u:hunter2@" + p.address() + "/postgres"
	return asked{ours: url + "?role=primary", theirs: url}
}

func replicaOfRedis(t *testing.T, p server) asked {
	tellRedis(t, p.address(), "REPLICAOF 127.0.0.1 1")
	return asked{ours: "redis://:hunter2@" + p.address() + "/0?plaintext_login=allow&role=primary", theirs: "redis://:hunter2@" + p.address() + "/0"}
}

func alarmedRabbitMQ(t *testing.T, _ server) asked {
	p := newRabbitMQWith(t, "", lowMemory)
	p.start()
	a := asked{ours: "amqp://u:hunter2@" + p.address() + "?plaintext_login=allow&alarms=fail", theirs: "amqp://u:hunter2@" + p.address() + "/"}
	harness.Must(t, harness.Eventually(60*time.Second, func() error {
		if err := newRun(t, a.ours)(timeout); err == nil || !strings.Contains(err.Error(), "low on memory") {
			return fmt.Errorf("%v, want an alarm", err)
		}
		return nil
	}))
	return a
}

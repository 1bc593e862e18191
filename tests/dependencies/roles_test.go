//go:build linux

package dependencies

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

func TestARedisThatTakesNoWritesIsNoPrimary(t *testing.T) {
	needServers(t)
	p := newRedis(t, "")
	p.start()
	url := "redis://:hunter2@" + p.addr + "?plaintext_login=allow"
	any, primary := newRun(t, url), newRun(t, url+"&role=primary")
	passes(t, any)
	for _, c := range []struct{ command, want string }{
		{"PING", ""},
		{"CONFIG SET maxmemory 1", "query: the server answers OOM"},
		{"CONFIG SET maxmemory 0", ""},
		{"REPLICAOF 127.0.0.1 1", "query: the server answers READONLY"},
		{"REPLICAOF NO ONE", ""},
	} {
		tellRedis(t, p.addr, c.command)
		wants(t, primary, c.want)
		wants(t, any, "")
	}
}

func TestARedisUserWithoutAPassword(t *testing.T) {
	needServers(t)
	p := newRedis(t, "")
	p.start()
	passes(t, newRun(t, "redis://:hunter2@"+p.addr+"?plaintext_login=allow"))
	wants(t, newRun(t, "redis://watch:@"+p.addr), "authentication: the server refuses the user name or password (WRONGPASS)")
	tellRedis(t, p.addr, "ACL SETUSER watch on nopass +ping")
	wants(t, newRun(t, "redis://watch:@"+p.addr), "")
}

// tellRedis sends a command as the user who may all.
func tellRedis(t *testing.T, addr, command string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, ample)
	harness.Must(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(ample))
	fmt.Fprintf(conn, "AUTH hunter2\r\n%s\r\nQUIT\r\n", command)
	_, err = io.ReadAll(conn)
	harness.Must(t, err)
}

func TestANATSServerWithoutJetStreamAndOneThatStopsSoon(t *testing.T) {
	needServers(t)
	const url = "nats://u:hunter2@%s?plaintext_login=allow&jetstream=required"
	without := newNATS(t, "")
	without.start()
	passes(t, newRun(t, "nats://u:hunter2@"+without.addr+"?plaintext_login=allow"))
	wants(t, newRun(t, fmt.Sprintf(url, without.addr)), "query: the server has no JetStream for this account")
	with := newNATSWith(t, "", "-js")
	with.start()
	run := newRun(t, fmt.Sprintf(url, with.addr))
	passes(t, run)
	for range 3 {
		wants(t, run, "")
	}
	with.signal(syscall.SIGUSR2) // begins its lame duck mode
	harness.Must(t, harness.Eventually(ample, func() error {
		if err := run(ample); err == nil || err.Error() != "the server is about to stop (lame duck mode)" {
			return fmt.Errorf("%v, want a warning", err)
		}
		return nil
	}))
}

// handshake_first is of NATS 2.10.4; Debian 12 has 2.9.10, which is asked only what it knows.
func TestTLSBeforeTheGreetingOfARealNATSServer(t *testing.T) {
	needServers(t)
	ca := harness.NewAuthority(t).File
	for setting, want := range map[string]struct{ first, later string }{
		"":                      {"TLS handshake: the server greets before TLS: take tls=first out of the URL, or set the server's handshake_first", ""},
		"handshake_first: true": {"", "; a server with handshake_first needs tls=first in the URL"},
		"handshake_first: auto": {"", ""},
	} {
		t.Run(setting, func(t *testing.T) {
			conf := harness.File(t, "conf", fmt.Sprintf("tls { cert_file: %q, key_file: %q, %s }", ca, harness.KeyOf(ca), setting))
			p := newNATSWith(t, "", "-c", conf)
			if checked, err := exec.Command(p.command().Path, "-t", "-c", conf).CombinedOutput(); err != nil && strings.Contains(string(checked), "unknown field") {
				t.Skipf("this nats-server has no handshake_first: %s", checked)
			}
			p.start()
			url := "nats://u:hunter2@" + p.addr + "?ca_file=" + ca
			wants(t, newRun(t, url+"&tls=first"), want.first)
			wants(t, newRun(t, url), want.later)
			if want.first == "" {
				wants(t, newRun(t, "tls://"+p.addr+"?expect=INFO%20&ca_file="+ca), "")
			}
		})
	}
}

func TestANATSUserWithAKey(t *testing.T) {
	needServers(t)
	const seed, public = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY", "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
	file, conf := harness.File(t, "seed", seed), filepath.Join(t.TempDir(), "conf")
	for user, want := range map[string]string{
		public: "",
		"UCNGL4W5QX66CFX6A6DCBVDH5VOHMI7B2UZZU7TXAUQQSI2JPHULCKBR": "authentication: the server refuses the user name, password or token",
	} {
		harness.Must(t, os.WriteFile(conf, []byte("authorization { users = [ { nkey: "+user+" } ] }"), 0o600))
		p := newNATSWith(t, "", "-c", conf)
		p.start()
		run := newRun(t, "nats://"+p.addr+"?creds_file="+file)
		wants(t, run, want)
		wants(t, newRun(t, "nats://"+p.addr), "authentication: the server refuses the user name, password or token")
		p.stop()
	}
	p := newNATS(t, "")
	p.start()
	wants(t, newRun(t, "nats://"+p.addr+"?creds_file="+file), "authentication: the server asks nobody for a key, which creds_file has")
}

// The host of the URL is nowhere.
func TestServersOnUnixSockets(t *testing.T) {
	needServers(t)
	for url, make := range map[string]func(*testing.T, string) *program{
		"redis://:hunter2@db.invalid/?socket=":             newRedis,
		"mysql://u:hunter2@db.invalid/mysql?socket=":       newMariaDB,
		"postgres://u:hunter2@db.invalid/postgres?socket=": newPostgres,
		"memcached://db.invalid?socket=":                   newMemcachedOnSocket,
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			p := make(t, "")
			if strings.HasPrefix(url, "memcached") {
				p.launch() // it listens on the socket alone
			} else {
				p.start()
			}
			file := filepath.Join(filepath.Dir(p.log), "socket")
			if strings.HasPrefix(url, "postgres") {
				file = filepath.Join(filepath.Dir(p.log), ".s.PGSQL."+port(p.addr))
			}
			run := newRun(t, url+file)
			passes(t, run)
			wants(t, run, "")
			p.stop()
			wants(t, run, "connect: "+file+": connection refused")
		})
	}
}

func TestTheRolesOfPostgreSQL(t *testing.T) {
	needServers(t)
	p := newPostgres(t, "")
	p.start()
	url := "postgres://u:hunter2@" + p.addr + "/postgres"
	passes(t, newRun(t, url+"?role=primary"))
	wants(t, newRun(t, url+"?role=standby"), "query: the server is no standby")
	makePostgresReadOnly(t, p.addr)
	wants(t, newRun(t, url+"?role=primary"), "query: the server is read-only (default_transaction_read_only)")
	wants(t, newRun(t, url), "")
}

// The standby becomes the primary, as in a failover.
func TestAnyHostOfPostgreSQLThatFitsIsEnough(t *testing.T) {
	needServers(t)
	first, second := harness.NewPostgres(t), harness.NewPostgres(t)
	harness.Must(t, first.Halt("fast"))
	first.Standby(t, true)
	harness.Must(t, first.Start())
	at := func(p *harness.Postgres) string { return fmt.Sprint("127.0.0.1:", p.Port) }
	url := fmt.Sprintf("postgres://postgres@%s,%s/postgres?role=", at(first), at(second))
	primary, standby := newRun(t, url+"primary"), newRun(t, url+"standby")
	for range 2 {
		wants(t, primary, "")
		wants(t, standby, "")
	}
	harness.Must(t, second.Halt("fast"))
	refused := fmt.Sprintf("%s: connect: %[1]s: connection refused", at(second))
	wants(t, primary, at(first)+": query: the server is a standby; "+refused)
	wants(t, standby, "")
	first.SQL(t, "postgres", "SELECT pg_promote()")
	wants(t, primary, "")
	wants(t, standby, at(first)+": query: the server is no standby; "+refused)
}

func TestACertificateOfPostgreSQLIsVerifiedWithoutItsName(t *testing.T) {
	needServers(t)
	ours, others := harness.NewAuthority(t), harness.NewAuthority(t)
	p := newPostgres(t, ours.File) // for 127.0.0.1
	p.start()
	url := "postgres://u:hunter2@localhost:" + port(p.addr) + "/postgres?sslmode="
	run := newRun(t, url+"verify-ca&ca_file="+ours.File)
	passes(t, run)
	wants(t, run, "")
	wants(t, newRun(t, url+"verify-full&ca_file="+ours.File), "TLS handshake: its certificate is for another name than localhost")
	wants(t, newRun(t, url+"verify-ca&ca_file="+others.File), "TLS handshake: its certificate is signed by an unknown authority")
	wants(t, newRun(t, url+"verify-ca&cert_warn=8000h&ca_file="+ours.File), "its certificate ends on ")
	without := newPostgres(t, "")
	without.start()
	url = "postgres://u:hunter2@" + without.addr + "/postgres?sslmode="
	passes(t, newRun(t, url+"prefer"))
	wants(t, newRun(t, url+"verify-ca&ca_file="+ours.File), "greeting: the server offers no TLS")
}

const lowMemory = "vm_memory_high_watermark.absolute = 1MB\n"

func TestARabbitMQThatIsLowOnMemoryTakesNoMessages(t *testing.T) {
	needServers(t)
	p := newRabbitMQWith(t, "", lowMemory)
	p.start()
	url := "amqp://u:hunter2@" + p.addr + "?plaintext_login=allow"
	passes(t, newRun(t, url))
	const low = "the broker takes no messages: it is low on memory"
	failing, warned := newRun(t, url+"&alarms=fail"), newRun(t, url+"&alarms=warn")
	for range 2 {
		wants(t, failing, "channel open: "+low)
		wants(t, warned, low)
		wants(t, newRun(t, url), "")
	}
	plain := newRabbitMQ(t, "")
	plain.start()
	run := newRun(t, "amqp://u:hunter2@"+plain.addr+"?plaintext_login=allow&alarms=fail")
	passes(t, run)
	wants(t, run, "")
}

func TestAReadOnlyMariaDBIsNoPrimary(t *testing.T) {
	needServers(t)
	p := newMariaDB(t, "")
	p.start()
	url := "mysql://u:hunter2@" + p.addr + "/mysql"
	passes(t, newRun(t, url+"?role=primary"))
	makeMariaDBReadOnly(t, p.addr)
	wants(t, newRun(t, url+"?role=primary"), "query: the server is read-only, as a replica is")
	wants(t, newRun(t, url), "")
}

func makePostgresReadOnly(t *testing.T, addr string) {
	t.Helper()
	runTool(t, "psql", "postgres://u:hunter2@"+addr+"/postgres", "-c", "ALTER DATABASE postgres SET default_transaction_read_only = on")
}

func makeMariaDBReadOnly(t *testing.T, addr string) {
	t.Helper()
	runTool(t, "mariadb", "--no-defaults", "-h127.0.0.1", "-P"+port(addr), "-uu", "-phunter2", "-e", "SET GLOBAL read_only = 1")
}

func runTool(t *testing.T, name string, args ...string) {
	t.Helper()
	harness.Output(t, exec.Command(name, args...))
}

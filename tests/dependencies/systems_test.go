//go:build linux

package dependencies

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// systems are rows of the table "I use X" in docs/dependencies.md that no other test asks a real server about. url is
// the one of the document, for which make starts a server at addr; wrong asks an unhealthy server, or for something that
// the server does not have.
var systems = []struct {
	name, url string
	make      func(t *testing.T) (addr, wrong string)
	want      string // of wrong
}{
	{"HAProxy", "http://proxy:8404/health?method=HEAD", func(t *testing.T) (string, string) {
		p := started(newHAProxy(t, ""))
		return p.addr, "http://" + p.addr + "/ill?method=HEAD"
	}, "it answers 503"},
	{"nginx", "http://proxy:8404/health?method=HEAD", func(t *testing.T) (string, string) {
		p := started(newNginx(t))
		return p.addr, "http://" + p.addr + "/ill?method=HEAD"
	}, "it answers 503"},
	{"etcd", "http://etcd:2379/health?expect_body=/health=true", func(t *testing.T) (string, string) {
		p := started(newEtcd(t, ""))
		return p.addr, "http://" + p.addr + "/health?expect_body=/health=other"
	}, "answer: "},
	{"Prometheus", "http://prometheus:9090/-/ready", func(t *testing.T) (string, string) {
		p := started(newPrometheus(t))
		return p.addr, "http://" + p.addr + "/-/nothing"
	}, "it answers 404"},
	{"SSH", "tcp://host:22?expect=SSH-2.0-", func(t *testing.T) (string, string) {
		p := started(newSSHD(t))
		return p.addr, "tcp://" + p.addr + "?expect=SSH-1.5-"
	}, "the answer is not as expected"},
	{"ZooKeeper", "tcp://zookeeper:2181?send=srvr&expect=Zookeeper%20version", func(t *testing.T) (string, string) {
		return started(newZooKeeper(t, 1)).addr, "tcp://" + started(newZooKeeper(t, 2)).addr + "?send=srvr&expect=Zookeeper%20version"
	}, "the answer is not as expected"},
	{"PgBouncer", "postgres://watch:PASSWORD@pgbouncer:6432/app", func(t *testing.T) (string, string) {
		p := started(newPgBouncer(t, started(newPostgres(t, "")).addr))
		return p.addr, "postgres://u:hunter2@" + started(newPgBouncer(t, newAddr(t))).addr + "/app"
	}, "authentication: no answer in time"},
	{"RabbitMQ management", "http://watch:PASSWORD@queue:15672/api/health/checks/alarms?expect_body=/status=ok", func(t *testing.T) (string, string) {
		return newManagement(t, ""), "http://u:hunter2@" + newManagement(t, lowMemory) + "/api/health/checks/alarms?expect_body=/status=ok"
	}, "it answers 503"},
	{"accountservice", "http://accounts:6767/ready?expect_body=/status=OK", func(t *testing.T) (string, string) {
		ill := startService(t, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_NOTHING_URL=tcp://"+newAddr(t), "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_NOTHING_ON_FAILURE=unroute")
		ill.Await(t, "/ready", 503)
		return startService(t).URL[len("http://"):], ill.URL + "/ready?expect_body=/status=OK"
	}, "it answers 503"},
	{"ClickHouse", "http://clickhouse:8123/ping?expect_body=Ok.", func(t *testing.T) (string, string) {
		p := started(newClickHouse(t))
		return p.addr, "http://" + p.addr + "/replicas?expect_body=Ok."
	}, "answer: "},
	{"Patroni", "http://patroni:8008/primary", func(t *testing.T) (string, string) {
		p := started(newPatroni(t))
		return p.addr, "http://" + p.addr + "/replica"
	}, "it answers 503"},
}

func TestURLsOfSystemsAtTheirServers(t *testing.T) {
	needServers(t)
	for _, s := range systems {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			addr, wrong := s.make(t)
			documented, err := url.Parse(s.url)
			harness.Must(t, err)
			right := strings.NewReplacer(documented.Host, addr, "watch:PASSWORD", "u:hunter2").Replace(s.url)
			passes(t, newRun(t, right))
			wants(t, newRun(t, wrong), s.want)
		})
	}
}

// Each URL that is tested here is in the document.
func TestURLsOfSystemsAreDocumented(t *testing.T) {
	text := harness.Read(t, "../../docs/dependencies.md")
	for _, s := range systems {
		if !strings.Contains(text, "`"+s.url+"`") {
			t.Errorf("docs/dependencies.md does not have %s: %s", s.name, s.url)
		}
	}
}

func started(p *program) *program { p.Helper(); p.start(); return p }

// conf writes a configuration and returns its path.
func conf(t *testing.T, folder, text string) (path string) {
	t.Helper()
	path = filepath.Join(folder, "conf")
	harness.Must(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// newHAProxy answers /health with 200 and /ill with 503, and everything else asks for the user u.
func newHAProxy(t *testing.T, _ string) *program {
	return newProgram(t, "haproxy", "/usr/sbin/haproxy", func(path, addr, folder string) func() *exec.Cmd {
		file := conf(t, folder, "defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 5s\n"+
			"userlist users\n  user u insecure-password hunter2\n"+
			"frontend health\n  bind "+addr+"\n  http-request return status 200 if { path /health }\n  http-request return status 503 if { path /ill }\n"+
			"  http-request auth unless { http_auth(users) }\n  http-request return status 200\n")
		return func() *exec.Cmd { return exec.Command(path, "-db", "-f", file) }
	})
}

func newNginx(t *testing.T) *program {
	return newProgram(t, "nginx", "/usr/sbin/nginx", func(path, addr, folder string) func() *exec.Cmd {
		file := conf(t, folder, "daemon off; pid "+folder+"/pid; error_log stderr; events {}\nhttp { access_log off; server { listen "+addr+
			"; location = /health { return 200; } location / { return 503; } } }\n")
		return func() *exec.Cmd { return exec.Command(path, "-c", file) }
	})
}

func newEtcd(t *testing.T, _ string) *program {
	return newProgram(t, "etcd", "", func(path, addr, folder string) func() *exec.Cmd {
		peers := "http://" + newAddr(t)
		return func() *exec.Cmd {
			return exec.Command(path, "--enable-v2", "--data-dir", filepath.Join(folder, "data"), "--listen-client-urls", "http://"+addr, "--advertise-client-urls", "http://"+addr,
				"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers)
		}
	})
}

func newPrometheus(t *testing.T) *program {
	return newProgram(t, "prometheus", "", func(path, addr, folder string) func() *exec.Cmd {
		file := conf(t, folder, "scrape_configs: []\n")
		return func() *exec.Cmd {
			return exec.Command(path, "--config.file="+file, "--storage.tsdb.path="+folder+"/data", "--web.listen-address="+addr)
		}
	})
}

func newSSHD(t *testing.T) *program {
	return newProgram(t, "sshd", "/usr/sbin/sshd", func(path, addr, folder string) func() *exec.Cmd {
		harness.Must(t, os.MkdirAll("/run/sshd", 0o755)) // which its service makes at a start
		runTool(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder+"/key")
		return func() *exec.Cmd {
			return exec.Command(path, "-D", "-e", "-f", "/dev/null", "-h", folder+"/key", "-o", "ListenAddress="+addr, "-o", "PidFile=none")
		}
	})
}

// newZooKeeper returns one of this many servers; the others never start.
func newZooKeeper(t *testing.T, servers int) *program {
	return newProgram(t, "java", "", func(path, addr, folder string) func() *exec.Cmd {
		text := fmt.Sprintf("tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=%s\nclientPort=%s\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n", folder, port(addr))
		for i := range servers {
			if servers > 1 {
				text += fmt.Sprintf("server.%d=%s:%s\n", i+1, newAddr(t), port(newAddr(t)))
			}
		}
		harness.Must(t, os.WriteFile(filepath.Join(folder, "myid"), []byte("1\n"), 0o644))
		file := conf(t, folder, text)
		return func() *exec.Cmd {
			return exec.Command(path, "-cp", "/usr/share/java/zookeeper.jar", "org.apache.zookeeper.server.quorum.QuorumPeerMain", file)
		}
	})
}

// newManagement is the address of RabbitMQ's plugin for operators.
func newManagement(t *testing.T, more string) (addr string) {
	addr = newAddr(t)
	started(newRabbitMQWith(t, "", more+"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = "+port(addr)+"\n", "rabbitmq_management"))
	return addr
}

// PgBouncer tells a client why it ends the connection, and takes a new one.
func TestAPoolerThatEndsIdleConnectionsIsWell(t *testing.T) {
	needServers(t)
	p := started(newPgBouncer(t, started(newPostgres(t, "")).addr, "pool_mode = transaction", "client_idle_timeout = 1"))
	run := newRun(t, "postgres://u:hunter2@"+p.addr+"/app")
	passes(t, run)
	for range 3 {
		harness.WaitFor(t, ample, "the pooler ends an idle connection", func() bool { return len(harness.Established(t, p.addr)) == 0 })
		wants(t, run, "")
	}
}

// newPgBouncer has the database app, which is postgres of the server at this address. more are lines of its
// configuration.
func newPgBouncer(t *testing.T, server string, more ...string) *program {
	return newProgram(t, "pgbouncer", "/usr/sbin/pgbouncer", func(path, addr, folder string) func() *exec.Cmd {
		users := filepath.Join(folder, "users")
		harness.Must(t, os.WriteFile(users, []byte(`"u" "hunter2"`+"\n"), 0o644))
		file := conf(t, folder, "[databases]\napp = host=127.0.0.1 port="+port(server)+" dbname=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = "+port(addr)+
			"\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = "+users+"\nserver_login_retry = 1\n"+strings.Join(more, "\n")+"\n")
		as := postgresUser(t, folder)
		return func() *exec.Cmd {
			cmd := exec.Command(path, file)
			cmd.SysProcAttr = as
			return cmd
		}
	})
}

func newClickHouse(t *testing.T) *program {
	return newProgram(t, "clickhouse-server", "/usr/sbin/clickhouse-server", func(path, addr, folder string) func() *exec.Cmd {
		users := filepath.Join(folder, "users.xml")
		harness.Must(t, os.WriteFile(users, []byte("<yandex><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>"+
			"<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default></users></yandex>"), 0o644))
		file := conf(t, folder, fmt.Sprintf("<yandex><logger><level>error</level><console>1</console></logger><http_port>%s</http_port><listen_host>127.0.0.1</listen_host>"+
			"<path>%[2]s/data/</path><tmp_path>%[2]s/tmp/</tmp_path><users_config>%[3]s</users_config><default_profile>default</default_profile>"+
			"<default_database>default</default_database><mark_cache_size>1048576</mark_cache_size></yandex>", port(addr), folder, users))
		harness.Must(t, os.Rename(file, file+".xml"))
		return func() *exec.Cmd { return exec.Command(path, "--config-file="+file+".xml") }
	})
}

// newPatroni is the only node of its cluster.
func newPatroni(t *testing.T) *program {
	etcd := started(newEtcd(t, ""))
	bin, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(bin) == 0 {
		t.Fatal("needs PostgreSQL (see .ci/run for Debian's package)")
	}
	return newProgram(t, "patroni", "", func(path, addr, folder string) func() *exec.Cmd {
		database := newAddr(t)
		file := conf(t, folder, fmt.Sprintf("scope: accounts\nname: node1\netcd: {host: '%s'}\nrestapi: {listen: '%[2]s', connect_address: '%[2]s'}\n"+
			"bootstrap:\n  dcs: {ttl: 20, loop_wait: 1, retry_timeout: 3}\n  initdb: [encoding: UTF8, locale: C, no-sync]\n"+
			"postgresql:\n  listen: '%[3]s'\n  connect_address: '%[3]s'\n  data_dir: '%[4]s/data'\n  pgpass: '%[4]s/pgpass'\n  bin_dir: '%[5]s'\n"+
			"  authentication: {superuser: {username: postgres, password: hunter2}, replication: {username: replicator, password: hunter2}}\n"+
			"  parameters: {unix_socket_directories: '%[4]s'}\n", etcd.addr, addr, database, folder, filepath.Dir(bin[len(bin)-1])))
		as := postgresUser(t, folder)
		return func() *exec.Cmd {
			cmd := exec.Command(path, file)
			cmd.SysProcAttr, cmd.Dir = as, folder
			return cmd
		}
	})
}

//go:build linux

package dependencies

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// The servers of Debian's packages, each with the user u and the password
// hunter2, on a port of its own that it keeps over its restarts.

// program is a server in processes of its own.
type program struct {
	*testing.T
	addr    string
	command func() *exec.Cmd
	log     string // its output
	cmd     *exec.Cmd
	ended   chan struct{} // closed when cmd has
}

func (p *program) address() string { return p.addr }

// start returns when the server accepts connections. One that ends is started
// again: PostgreSQL refuses while the kernel still buries its predecessor.
func (p *program) start() {
	p.Helper()
	p.launch()
	p.until("does not listen", func() bool {
		select {
		case <-p.ended:
			p.launch()
		default:
		}
		return p.listens()
	})
}

func (p *program) launch() {
	p.Helper()
	out, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	harness.Must(p.T, err)
	defer out.Close()
	cmd, ended := p.command(), make(chan struct{})
	cmd.Stdout, cmd.Stderr = out, out
	harness.Must(p.T, cmd.Start())
	p.cmd, p.ended = cmd, ended
	go func() {
		cmd.Wait()
		close(ended)
	}()
}

// until waits for something that the server does soon.
func (p *program) until(not string, done func() bool) {
	p.Helper()
	if !harness.Until(3*time.Minute, done) { // a busy machine takes a minute to start RabbitMQ
		content, _ := os.ReadFile(p.log)
		p.Fatalf("%s %s\n%s", p.addr, not, content)
	}
}

// stop kills the server as kill -9 does, with all its processes.
func (p *program) stop() {
	if p.cmd == nil {
		return
	}
	p.signal(syscall.SIGKILL)
	<-p.ended
	p.cmd = nil
	p.until("does not end", func() bool { return !p.listens() })
}

func (p *program) listens() bool {
	c, err := net.DialTimeout("tcp", p.addr, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// hang stops all processes where they are; their sockets stay.
func (p *program) hang() {
	p.signal(syscall.SIGSTOP)
	p.until("does not halt", func() bool {
		for _, pid := range family(p.cmd.Process.Pid) {
			threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
			for _, thread := range threads {
				stat, _ := os.ReadFile(thread)
				if _, state, _ := strings.Cut(string(stat), ") "); state != "" && !strings.HasPrefix(state, "T") && !strings.HasPrefix(state, "Z") {
					return false
				}
			}
		}
		return true
	})
}

func (p *program) resume() { p.signal(syscall.SIGCONT) }

// signal goes to the process and all below it.
func (p *program) signal(s syscall.Signal) {
	for _, pid := range family(p.cmd.Process.Pid) {
		syscall.Kill(pid, s)
	}
}

// family is a process and its descendants.
func family(pid int) []int {
	all := []int{pid}
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range children {
		content, _ := os.ReadFile(file)
		for _, child := range strings.Fields(string(content)) {
			n, _ := strconv.Atoi(child)
			all = append(all, family(n)...)
		}
	}
	return all
}

// newProgram is a server that is not started; it is ended with the test.
func newProgram(t *testing.T, name, where string, make func(path, addr, folder string) func() *exec.Cmd) *program {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		found, _ := filepath.Glob(where)
		if len(found) == 0 {
			t.Fatalf("needs %s (see .ci/run for Debian's package)", name)
		}
		path = found[len(found)-1]
	}
	folder, err := os.MkdirTemp("", "dependencies-") // a server that is another user must be able to come here
	harness.Must(t, err)
	harness.Must(t, os.Chmod(folder, 0o755))
	addr := newAddr(t)
	p := &program{T: t, addr: addr, command: make(path, addr, folder), log: filepath.Join(folder, "log")}
	t.Cleanup(func() {
		p.stop()
		os.RemoveAll(folder)
	})
	return p
}

// newRedis speaks TLS with this certificate, if there is one.
func newRedis(t *testing.T, certificate string) *program {
	return newProgram(t, "redis-server", "", func(path, addr, folder string) func() *exec.Cmd {
		listen := []string{"--port", port(addr)}
		if certificate != "" {
			listen = []string{"--port", "0", "--tls-port", port(addr), "--tls-auth-clients", "no", "--tls-cert-file", certificate, "--tls-key-file", harness.KeyOf(certificate)}
		}
		return func() *exec.Cmd {
			return exec.Command(path, append(listen, "--unixsocket", folder+"/socket", "--bind", "127.0.0.1", "--save", "", "--dir", folder, "--requirepass", "hunter2")...)
		}
	})
}

func newNATS(t *testing.T, certificate string) *program { return newNATSWith(t, certificate) }

// newNATSWith has more arguments.
func newNATSWith(t *testing.T, certificate string, more ...string) *program {
	return newProgram(t, "nats-server", "", func(path, addr, folder string) func() *exec.Cmd {
		args := append(more, "-sd", folder, "-a", "127.0.0.1", "-p", port(addr), "--user", "u", "--pass", "hunter2")
		if certificate != "" {
			args = append(args, "--tls", "--tlscert", certificate, "--tlskey", harness.KeyOf(certificate))
		}
		return func() *exec.Cmd { return exec.Command(path, args...) }
	})
}

func newDNSMasq(t *testing.T, _ string) *program {
	return newProgram(t, "dnsmasq", "/usr/sbin/dnsmasq", func(path, addr, folder string) func() *exec.Cmd {
		return func() *exec.Cmd {
			return exec.Command(path, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=",
				"--pid-file="+folder+"/pid", "--port="+port(addr), "--listen-address=127.0.0.1", "--bind-interfaces",
				"--address=/users.test/10.0.0.1")
		}
	})
}

func newPostgres(t *testing.T, certificate string) *program {
	return newProgram(t, "postgres", "/usr/lib/postgresql/*/bin/postgres", func(path, addr, folder string) func() *exec.Cmd {
		real, err := filepath.EvalSymlinks(path)
		harness.Must(t, err)
		as := postgresUser(t, folder)
		data, password := filepath.Join(folder, "data"), filepath.Join(folder, "password")
		harness.Must(t, os.WriteFile(password, []byte("hunter2"), 0o644))
		initdb := exec.Command(filepath.Join(filepath.Dir(real), "initdb"), "-D", data, "-U", "u", "-A", "scram-sha-256", "--pwfile="+password, "--no-sync")
		initdb.SysProcAttr, initdb.Dir = as, folder
		harness.Output(t, initdb)
		args := []string{"-D", data, "-p", port(addr), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + folder, "-c", "fsync=off"}
		if certificate != "" {
			for from, to := range map[string]string{certificate: "server.crt", harness.KeyOf(certificate): "server.key"} {
				content := []byte(harness.Read(t, from))
				harness.Must(t, os.WriteFile(filepath.Join(data, to), content, 0o600))
				if as != nil {
					harness.Must(t, os.Chown(filepath.Join(data, to), int(as.Credential.Uid), int(as.Credential.Gid)))
				}
			}
			args = append(args, "-c", "ssl=on")
		}
		return func() *exec.Cmd {
			cmd := exec.Command(real, args...)
			cmd.SysProcAttr, cmd.Dir = as, folder
			return cmd
		}
	})
}

// postgresUser is whom PostgreSQL runs as: it refuses root. folder becomes his.
func postgresUser(t *testing.T, folder string) *syscall.SysProcAttr {
	t.Helper()
	as := harness.Unprivileged(t)
	if as != nil {
		harness.Must(t, os.Chown(folder, int(as.Credential.Uid), int(as.Credential.Gid)))
	}
	return as
}

func newRabbitMQ(t *testing.T, certificate string) *program {
	return newRabbitMQWith(t, certificate, "")
}

// newRabbitMQWith has more lines in its configuration, and plugins.
func newRabbitMQWith(t *testing.T, certificate, more string, plugins ...string) *program {
	const script = "/usr/lib/rabbitmq/bin/rabbitmq-server" // the one on the PATH changes its user
	if _, err := exec.LookPath("rabbitmq-server"); err != nil {
		t.Fatal("needs rabbitmq-server (see .ci/run for Debian's package)")
	}
	return newProgram(t, "epmd", "", func(epmd, addr, folder string) func() *exec.Cmd {
		names := newAddr(t)
		server := exec.Command(epmd, "-port", port(names), "-address", "127.0.0.1") // else one stays behind as a daemon
		harness.Must(t, server.Start())
		t.Cleanup(func() {
			server.Process.Kill()
			server.Wait()
		})
		conf, enabled := filepath.Join(folder, "rabbitmq.conf"), filepath.Join(folder, "plugins")
		harness.Must(t, os.WriteFile(enabled, []byte("["+strings.Join(plugins, ",")+"]."), 0o644))
		listen := "listeners.tcp.1 = " + addr
		if certificate != "" {
			listen = fmt.Sprintf("listeners.tcp = none\nlisteners.ssl.1 = %s\nssl_options.cacertfile = %s\nssl_options.certfile = %s\nssl_options.keyfile = %s",
				addr, certificate, certificate, harness.KeyOf(certificate))
		}
		harness.Must(t, os.WriteFile(conf, []byte(listen+"\ndefault_user = u\ndefault_pass = hunter2\n"+more), 0o644))
		dist := newAddr(t)
		return func() *exec.Cmd {
			cmd := exec.Command(script)
			cmd.Env = append(os.Environ(), "HOME="+folder, "ERL_EPMD_PORT="+port(names), "ERL_EPMD_ADDRESS=127.0.0.1",
				"RABBITMQ_NODENAME=d"+port(addr)+"@localhost", "RABBITMQ_DIST_PORT="+port(dist), "RABBITMQ_MNESIA_BASE="+folder+"/mnesia",
				"RABBITMQ_LOG_BASE="+folder+"/logs", "RABBITMQ_ENABLED_PLUGINS_FILE="+enabled, "RABBITMQ_CONFIG_FILE="+conf,
				"RABBITMQ_PID_FILE="+folder+"/pid", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}")
			return cmd
		}
	})
}

// newAddr is an address that stays reserved for the test while its server is away.
func newAddr(t *testing.T) string { t.Helper(); return fmt.Sprint("127.0.0.1:", harness.Port(t)) }

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

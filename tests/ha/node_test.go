//go:build linux

package ha

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"accountservice/tests/harness"
)

// The one network of the test. Clients, the replicas of the service and HAProxy share a namespace; etcd and each node
// have one of their own.
const (
	bridge     = "ha0"
	clientAddr = "10.9.0.1"
	etcdAddr   = "10.9.0.2"
)

// machine is a program with a network, processes and mounts of its own, connected to the bridge.
type machine struct {
	name, addr string
	args       []string // run as user
	user       *syscall.Credential
	cmd        *exec.Cmd
	log        harness.Buffer
}

// bootScript makes a machine of a new process: it waits for its interface and becomes the unprivileged program.
const bootScript = `mount -t proc proc /proc && ip link set lo up || exit 1
until ip link set eth0 up 2>/dev/null; do sleep 0.02; done
ip addr add "$1/24" dev eth0
user=$2; group=$3; shift 3
exec setpriv --reuid="$user" --regid="$group" --clear-groups "$@"`

// start boots the machine.
func (m *machine) start(tb testing.TB) {
	tb.Helper()
	args := append([]string{"-c", bootScript, "boot", m.addr, fmt.Sprint(m.user.Uid), fmt.Sprint(m.user.Gid)}, m.args...)
	m.cmd = exec.Command("sh", args...)
	m.cmd.Dir, m.cmd.Stdout, m.cmd.Stderr = "/", &m.log, &m.log
	m.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=/nonexistent"}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET}
	harness.Must(tb, m.cmd.Start())
	port := "ha-" + m.name
	harness.Must(tb, command("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(m.cmd.Process.Pid)))
	harness.Must(tb, command("ip", "link", "set", port, "master", bridge, "up"))
}

// kill ends the machine as a loss of power does: its first process is killed, and the kernel kills all others with it.
func (m *machine) kill(tb testing.TB) {
	tb.Helper()
	harness.Must(tb, m.cmd.Process.Kill())
	m.cmd.Wait()
	command("ip", "link", "delete", "ha-"+m.name) // the kernel does so too, some time later
}

// signal sends a signal to every process of the machine. Those that appear meanwhile get it too.
func (m *machine) signal(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	sent := map[string]bool{}
	for more := true; more; {
		more = false
		for _, pid := range m.processes(tb) {
			if !sent[pid] {
				number, _ := strconv.Atoi(pid)
				syscall.Kill(number, s) // one that has ended meanwhile needs none
				sent[pid], more = true, true
			}
		}
	}
}

// processes are those of the machine's namespace.
func (m *machine) processes(tb testing.TB) (pids []string) {
	tb.Helper()
	mine, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.cmd.Process.Pid))
	harness.Must(tb, err)
	all, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	harness.Must(tb, err)
	for _, path := range all {
		if space, _ := os.Readlink(path); space == mine {
			pids = append(pids, filepath.Base(filepath.Dir(filepath.Dir(path))))
		}
	}
	return pids
}

// cut drops every packet between the machine and these addresses, both ways, without a word to either side.
func (m *machine) cut(tb testing.TB, addrs ...string) {
	tb.Helper()
	for _, addr := range addrs {
		harness.Must(tb, m.iptables("-A", "INPUT", "-s", addr, "-j", "DROP"))
		harness.Must(tb, m.iptables("-A", "OUTPUT", "-d", addr, "-j", "DROP"))
	}
}

// heal undoes all cuts.
func (m *machine) heal(tb testing.TB) { tb.Helper(); harness.Must(tb, m.iptables("-F")) }

func (m *machine) iptables(args ...string) error {
	return command("nsenter", append([]string{"--net", "--target", strconv.Itoa(m.cmd.Process.Pid), "iptables"}, args...)...)
}

package dependency

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"accountservice/tests/harness"
)

const hostsEnv = "DEPENDENCY_TEST_HOSTS"

// This test is a process of its own that sees another /etc/hosts.
func TestAServerIsAskedAlsoForWhatTheHostsFileKnows(t *testing.T) {
	if hosts := os.Getenv(hostsEnv); hosts != "" {
		if err := syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
			fmt.Println("no mount:", err)
			return
		}
		url := fmt.Sprintf("dns://%s/users.test", newNameServer(t, reply(dnsmessage.RCodeNameError)))
		fmt.Println("system:", runs(t, "dns:///users.test", ample)())
		fmt.Println("server:", runs(t, url, ample)())
		return
	}
	t.Parallel()
	hosts := filepath.Join(t.TempDir(), "hosts")
	harness.Must(t, os.WriteFile(hosts, []byte("10.0.0.1 users.test\n"), 0o644))
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), hostsEnv+"="+hosts)
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}}
	out, err := child.Output()
	if _, ran := err.(*exec.ExitError); err != nil && !ran || strings.Contains(string(out), "no mount") {
		t.Skipf("needs a kernel that lets this user have a view of its own of the files: %v %s", err, out)
	}
	want := "system: <nil>\nserver: query: users.test.: no such name, or no A record\n"
	if !strings.HasPrefix(string(out), want) {
		t.Errorf("%v\n%s\nwant %s", err, out, want)
	}
}

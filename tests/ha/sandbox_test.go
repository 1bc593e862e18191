//go:build linux

// Package ha proves what PostgreSQL gives several replicas of the service: one set of accounts, of which no failure of a
// server loses an acknowledged write. It runs three Patroni nodes, etcd, HAProxy and three replicas in namespaces of its
// own: network cuts are real, and nothing is left when the test ends, however it ends.
package ha

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"accountservice/tests/harness"
)

// programs are what the test needs, by their paths in Debian.
var programs = []string{"etcd", "patroni", "haproxy", "iptables", "ip", "nsenter", "setpriv"}

// folderVariable names the test's folder to the process in the namespaces.
const folderVariable = "HA_TEST_FOLDER"

func TestMain(m *testing.M) {
	folder := os.Getenv(folderVariable)
	switch {
	case os.Getenv("HA_TEST") != "1":
		os.Exit(m.Run()) // the tests skip themselves
	case folder == "":
		os.Exit(outside())
	}
	if err := enter(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// outside builds the service and runs this test again as the first process of new namespaces: when that one ends, the
// kernel ends all others and removes their networks and mounts.
func outside() int {
	folder, err := os.MkdirTemp("", "accountservice-ha")
	if err == nil {
		defer os.RemoveAll(folder)
		err = errors.Join(os.Chmod(folder, 0o755), os.Mkdir(data(folder), 0o755), harness.Build(filepath.Join(folder, "bin")))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	runtime.LockOSThread() // Pdeathsig is sent when the thread ends
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), folderVariable+"="+folder, "TMPDIR="+data(folder))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET}
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "HA_TEST=1 needs root:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// data is where the servers keep their files: a file system in memory that only the namespaces have.
func data(folder string) string { return filepath.Join(folder, "data") }

// enter makes the namespaces usable: what is mounted here is seen nowhere else.
func enter(folder string) error {
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("HA_TEST=1 needs %s (Debian's patroni, etcd-server, postgresql, haproxy, iptables, iproute2): %w", program, err)
		}
	}
	return errors.Join(
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("proc", "/proc", "proc", 0, ""),
		syscall.Mount("tmpfs", data(folder), "tmpfs", 0, "mode=0755"),
		command("ip", "link", "set", "lo", "up"),
		command("ip", "link", "add", bridge, "type", "bridge"),
		command("ip", "addr", "add", clientAddr+"/24", "dev", bridge),
		command("ip", "link", "set", bridge, "up"),
	)
}

// command runs a program, whose output is in the error.
func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// needSandbox gives the test's folder, or skips the test.
func needSandbox(t *testing.T) (folder string) {
	t.Helper()
	if folder = os.Getenv(folderVariable); folder == "" {
		t.Skip("needs root, Patroni, etcd, PostgreSQL and HAProxy: HA_TEST=1 asks for them, and fails without (make ha-test)")
	}
	return folder
}

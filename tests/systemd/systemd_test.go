//go:build linux

// Package systemd runs configs/accountservice.service under a real systemd, in a container of Docker that has nothing
// but this machine's /usr.
package systemd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

const (
	unit     = "../../configs/accountservice.service"
	systemd  = "/usr/lib/systemd/systemd"
	patience = 3 * time.Minute // for what takes half of one
)

// begin is the script that starts systemd in the container. Its mounts must be shared, as on a real machine, or no
// service sees its credentials.
const begin = `mount --make-rshared /; mount -o remount,rw /sys/fs/cgroup; exec ` + systemd + ` --unit=accountservice.service`

// dropIn goes without the rest of a machine and without a journal. /usr/local is this machine's and cannot be written.
const dropIn = `[Unit]
DefaultDependencies=no
[Service]
ExecStart=
ExecStart=/opt/accountservice
StandardOutput=append:/run/log
StandardError=append:/run/log
`

// built is a folder with the programs in bin.
var built string

var wanted = os.Getenv("SYSTEMD_TEST") != ""

func TestMain(m *testing.M) { harness.Main(m, wanted, "systemd-", &built) }

// docker runs a command of Docker, and fails the test if that fails.
func docker(t *testing.T, args ...string) (output string) {
	t.Helper()
	return strings.TrimSpace(harness.Output(t, exec.CommandContext(t.Context(), "docker", args...)))
}

// machine is a container in which systemd runs.
type machine struct {
	t    *testing.T
	name string
}

// undo runs a command of Docker after the test.
func undo(t *testing.T, args ...string) {
	t.Cleanup(func() {
		if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
			t.Errorf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	})
}

// boot starts systemd with the shipped unit alone, and the files that the head of the unit says to make.
func boot(t *testing.T) *machine {
	t.Helper()
	m := &machine{t, fmt.Sprint("accountservice-systemd-", os.Getpid())}
	image, etc := m.image(), t.TempDir()
	token := harness.Run(t, exec.Command(filepath.Join(built, "bin/accountservice"), "token", "create", "--name", "first", "--scopes", "read"))
	_, line, _ := strings.Cut(token.Stdout, "\n")
	shipped := harness.Read(t, unit)
	for name, text := range map[string]string{
		"systemd/system/accountservice.service":             shipped,
		"systemd/system/accountservice.service.d/test.conf": dropIn,
		"accountservice/tokens":                             line,
		"passwd":                                            "root:x:0:0:root:/root:/bin/sh\n",
		"group":                                             "root:x:0:\n",
		"machine-id":                                        "",
	} {
		file := filepath.Join(etc, name)
		harness.Must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		harness.Must(t, os.WriteFile(file, []byte(text), 0o600))
		harness.Must(t, os.Chmod(file, 0o644))
	}
	harness.Must(t, os.Chmod(filepath.Join(etc, "accountservice/tokens"), 0o600)) // root alone reads it
	undo(t, "rm", "--force", "--volumes", m.name)
	docker(t, "run", "--detach", "--tty", "--name", m.name, "--cgroupns=private", "--env", "container=docker",
		// all rights but one that systemd can do without, and a container's engine may not have
		"--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--security-opt", "seccomp=unconfined",
		"--security-opt", "apparmor=unconfined", "--tmpfs", "/run", "--tmpfs", "/tmp", "--volume", "/usr:/usr:ro",
		"--volume", etc+":/etc", "--volume", built+"/bin:/opt:ro",
		image, "/bin/sh", "-c", begin)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("docker", "exec", m.name, "sh", "-c", "systemctl status --no-pager accountservice; cat /run/log").CombinedOutput()
			console, _ := exec.Command("docker", "logs", "--tail", "30", m.name).CombinedOutput()
			t.Logf("%s\n%s", out, console)
		}
	})
	return m
}

// image makes an image of empty folders, in which this machine's /usr is mounted.
func (m *machine) image() string {
	root := m.t.TempDir()
	for _, folder := range []string{"etc", "proc", "sys", "dev", "run", "tmp", "opt", "usr", "var/lib"} {
		harness.Must(m.t, os.MkdirAll(filepath.Join(root, folder), 0o755))
	}
	for _, link := range []string{"bin", "lib", "lib64", "sbin"} {
		harness.Must(m.t, os.Symlink("usr/"+link, filepath.Join(root, link)))
	}
	archive := filepath.Join(m.t.TempDir(), "root.tar")
	harness.Output(m.t, exec.Command("tar", "-C", root, "-cf", archive, "."))
	name := m.name + ":latest"
	undo(m.t, "image", "rm", name)
	docker(m.t, "import", archive, name)
	return name
}

// run runs a command in the machine, which may fail.
func (m *machine) run(command string) (output string) {
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	out, _ := exec.CommandContext(ctx, "docker", "exec", m.name, "sh", "-c", command).CombinedOutput()
	return strings.TrimSpace(string(out))
}

// is waits until systemd says that the unit is in this state.
func (m *machine) is(want string) {
	m.t.Helper()
	properties := make([]string, 0, 4)
	for _, property := range strings.Fields(want) {
		name, _, _ := strings.Cut(property, "=")
		properties = append(properties, name)
	}
	harness.Must(m.t, harness.Eventually(patience, func() error {
		got := m.run("systemctl show accountservice --property=" + strings.Join(properties, ","))
		for _, property := range strings.Fields(want) {
			if !strings.Contains("\n"+got+"\n", "\n"+property+"\n") {
				return fmt.Errorf("the unit is %q, want %s", got, want)
			}
		}
		return nil
	}))
}

func TestSystemdRestartsASickServiceAndObeysItsExitCodes(t *testing.T) {
	if !wanted {
		t.Skip("SYSTEMD_TEST is not set")
	}
	for _, needed := range []string{systemd, "/usr/bin/tar", "/usr/bin/mount"} {
		if _, err := os.Stat(needed); err != nil {
			t.Skipf("needs %s: %v", needed, err)
		}
	}
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		t.Skipf("needs Docker: %v\n%s", err, out)
	}
	m := boot(t)
	m.is("ActiveState=active StatusText=OK NRestarts=0 Type=notify WatchdogUSec=30s")
	const database = "/var/lib/accountservice/accounts.db"
	if owner := m.run("stat -L -c '%u %a' " + database); !regexp.MustCompile(`^6\d{4} 600$`).MatchString(owner) {
		t.Errorf("the database is of %s, want a dynamic user alone", owner)
	}
	m.run("rm " + database) // the service puts it back, and must be started again
	m.is("NRestarts=1 ActiveState=active StatusText=OK")
	for _, said := range []string{`"exit_code":3`, "told to stop while unhealthy"} {
		if log := m.run("cat /run/log"); !strings.Contains(log, said) {
			t.Errorf("the log lacks %s", said)
		}
	}
	m.run("systemctl stop accountservice")
	m.is("ActiveState=inactive Result=success ExecMainStatus=0")

	// a wrong configuration is not tried again
	m.run("mkdir -p /run/systemd/system/accountservice.service.d")
	m.run("printf '[Service]\nEnvironment=ACCOUNTSERVICE_HTTP_PROT=1\n' >/run/systemd/system/accountservice.service.d/wrong.conf")
	m.run("systemctl daemon-reload; systemctl start accountservice")
	m.is("ActiveState=failed Result=exit-code ExecMainStatus=2 NRestarts=0")
}

//go:build linux

package dependencies

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"accountservice/tests/harness"
)

func newMariaDB(t *testing.T, certificate string) *program {
	return newProgram(t, "mariadbd", "/usr/sbin/mariadbd", func(path, addr, folder string) func() *exec.Cmd {
		data, users := filepath.Join(folder, "data"), filepath.Join(folder, "users.sql")
		runTool(t, "mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+data, "--skip-test-db",
			"--auth-root-authentication-method=normal")
		harness.Must(t, os.WriteFile(users, []byte("CREATE USER IF NOT EXISTS u@'127.0.0.1' IDENTIFIED BY 'hunter2';\n"+
			"GRANT ALL ON *.* TO u@'127.0.0.1';\nGRANT ALL ON *.* TO u@localhost IDENTIFIED BY 'hunter2';\n"), 0o644))
		args := []string{"--no-defaults", "--user=root", "--datadir=" + data, "--port=" + port(addr), "--bind-address=127.0.0.1",
			"--skip-name-resolve", "--socket=" + folder + "/socket", "--pid-file=" + folder + "/pid", "--init-file=" + users,
			"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=8M"}
		if certificate != "" {
			args = append(args, "--ssl-cert="+certificate, "--ssl-key="+harness.KeyOf(certificate))
		}
		return func() *exec.Cmd { return exec.Command(path, args...) }
	})
}

func newMemcached(t *testing.T, _ string) *program {
	return newProgram(t, "memcached", "", func(path, addr, _ string) func() *exec.Cmd {
		return func() *exec.Cmd {
			return exec.Command(path, "-l", "127.0.0.1", "-p", port(addr), "-u", "root", "-t", "1")
		}
	})
}

// newMemcachedOnSocket listens on no port.
func newMemcachedOnSocket(t *testing.T, _ string) *program {
	return newProgram(t, "memcached", "", func(path, _, folder string) func() *exec.Cmd {
		return func() *exec.Cmd {
			return exec.Command(path, "-s", filepath.Join(folder, "socket"), "-u", "root", "-t", "1")
		}
	})
}

func newMosquitto(t *testing.T, certificate string) *program {
	return newProgram(t, "mosquitto", "/usr/sbin/mosquitto", func(path, addr, folder string) func() *exec.Cmd {
		conf, passwords := filepath.Join(folder, "conf"), filepath.Join(folder, "passwords")
		runTool(t, "mosquitto_passwd", "-b", "-c", passwords, "u", "hunter2")
		text := fmt.Sprintf("user root\nlistener %s 127.0.0.1\nallow_anonymous false\npassword_file %s\nmax_keepalive 60\n", port(addr), passwords)
		if certificate != "" {
			text += fmt.Sprintf("certfile %s\nkeyfile %s\n", certificate, harness.KeyOf(certificate))
		}
		harness.Must(t, os.WriteFile(conf, []byte(text), 0o600))
		return func() *exec.Cmd { return exec.Command(path, "-c", conf) }
	})
}

// newSlapd speaks StartTLS with this certificate, if there is one.
func newSlapd(t *testing.T, certificate string) *program { return newSlapdAt(t, "ldap", certificate) }

func newSlapdTLS(t *testing.T, certificate string) *program {
	return newSlapdAt(t, "ldaps", certificate)
}

func newSlapdAt(t *testing.T, scheme, certificate string) *program {
	return newProgram(t, "slapd", "/usr/sbin/slapd", func(path, addr, folder string) func() *exec.Cmd {
		conf, data := filepath.Join(folder, "conf"), filepath.Join(folder, "data")
		harness.Must(t, os.Mkdir(data, 0o700))
		text := ""
		if certificate != "" {
			text = fmt.Sprintf("TLSCACertificateFile %s\nTLSCertificateFile %[1]s\nTLSCertificateKeyFile %s\n", certificate, harness.KeyOf(certificate))
		}
		harness.Must(t, os.WriteFile(conf, []byte("include /etc/ldap/schema/core.schema\n"+text+"modulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nmaxsize 1048576\n"+
			"suffix dc=test\nrootdn cn=u,dc=test\nrootpw hunter2\ndirectory "+data+"\n"), 0o600))
		return func() *exec.Cmd { return exec.Command(path, "-d", "0", "-f", conf, "-h", scheme+"://"+addr+"/") }
	})
}

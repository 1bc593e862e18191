package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/config"
	"accountservice/tests/harness"
)

func TestCommandsSayWhatIsToBeDone(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), anyAdmin)
	file := filepath.Join(t.TempDir(), "backup.db")
	for _, c := range []struct {
		args       []string
		code       int
		says, lies string
	}{
		{[]string{"version", "x"}, 2, `no argument is taken: "x"`, "unknown command"},
		{[]string{"backup", "x"}, 2, `no argument is taken: "x"`, "unknown command"},
		{[]string{"restore", "--acknowledge", "x"}, 2, `no argument is taken: "x"`, "unknown command"},
		{[]string{"compact", file}, 1, "no such file", "store.bolt.path"},
		{[]string{"backup"}, 2, "accountservice backup: say where", "\t"},
		{[]string{"backup", "--to", file, "--url", p.URL}, 1, "give the address of the operators' listener (admin.addr)", "\t"},
		{[]string{"backup", "--to", file, "--url", "localhost"}, 2, "accountservice backup: --url: must be the address of a service, " +
			"such as http://localhost:6767, or of its operators' listener, such as http://localhost:6768", "\t"},
		{[]string{"status", p.URL + "/health"}, 1, "of status 404, is not the health of an accountservice: give the address of its http.port", "\t"},
		{[]string{"backup", "--to", "s3:/b/p"}, 2, "two slashes", "\t"},
		{[]string{"maintenance", "on", "--reason", "x", "--ttl", "48h", p.Admin(t)}, 1, "/ttl: ", "\t"},
	} {
		got := runs(t, command(newPath(t), c.args...))
		got.is(t, c.code, "", c.says)
		if strings.Contains(got.Stderr, c.lies) {
			t.Errorf("%q says %q", c.args, c.lies)
		}
	}
	runs(t, with(command("", "config", "check"), "ACCOUNTSERVICE_BACKUP_TO=s3:/b/p")).is(t, 2, "", "must have two slashes after s3: as in s3://BUCKET/PREFIX")
}

// What a start advises, to begin with a new database, would lose the accounts that only the open file of a service has.
func TestCommandsWithoutTheirDatabaseSayThatAServiceMayHaveIt(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	ready(t, path).Stop(t, 0)
	harness.Must(t, os.Remove(path))
	file := filepath.Join(t.TempDir(), "backup.db")
	for _, args := range [][]string{{"backup", "--to", file}, {"export"}, {"import", os.DevNull}} {
		runs(t, command(path, args...)).is(t, 1, "", "do not stop it: its process has the accounts; accountservice export --url reads them")
	}
}

// config print would show it, also without a target.
func TestEndpointIsAServerAlone(t *testing.T) {
	for _, endpoint := range []string{"https://host?password=hunter2", "https://host/hunter2", "https://host/#hunter2",
		"host:9000?password=hunter2", "hunter2"} {
		for _, to := range []string{"", "s3://b/p"} {
			_, err := config.Load("", []string{"ACCOUNTSERVICE_BACKUP_TO=" + to, "ACCOUNTSERVICE_BACKUP_S3_ENDPOINT=" + endpoint,
				"ACCOUNTSERVICE_BACKUP_S3_REGION=garage/1", // any is allowed at a server of one's own
				"ACCOUNTSERVICE_BACKUP_S3_ACCESS_KEY=a", "ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY=s"}, backupFault)
			const want = "backup.s3.endpoint: the value (from ACCOUNTSERVICE_BACKUP_S3_ENDPOINT) must be the URL of a server, such as " +
				"https://minio.example.org:9000, without a login, a path, a ? or a #"
			if err == nil || err.Error() != want {
				t.Errorf("%q for %q: %v", endpoint, to, err)
			}
		}
	}
}

func TestFaultsOfTheTargetAndItsServerAreReportedAtOnce(t *testing.T) {
	for _, c := range []struct{ to, endpoint, region, want string }{
		{"s3:/b", "hunter2", "r", "backup.s3.endpoint: the value (from ACCOUNTSERVICE_BACKUP_S3_ENDPOINT) must be the URL"},
		{"s3:/b", "hunter2", "r", "backup.to: "},
		{"s3://b", "", "eu central", "backup.s3.region must be one of AWS"},
		{"", "", "eu central", ""}, // is asked nothing
	} {
		_, err := config.Load("", []string{"ACCOUNTSERVICE_BACKUP_TO=" + c.to, "ACCOUNTSERVICE_BACKUP_S3_ENDPOINT=" + c.endpoint,
			"ACCOUNTSERVICE_BACKUP_S3_REGION=" + c.region, "ACCOUNTSERVICE_BACKUP_S3_ACCESS_KEY=a",
			"ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY=s"}, backupFault)
		if got := fmt.Sprint(err); (err != nil) != (c.want != "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestStatusPageSaysWhatToDoWithNotices(t *testing.T) {
	t.Parallel()
	path, now := leftBehind(t), time.Now().UTC().Format(time.RFC3339)
	harness.Must(t, os.WriteFile(path+".restored", []byte("{"), 0o600)) // fails
	stop := `[{"exit_code":3,"reason":"sick","times":1,"first":"` + now + `","last":"` + now + `"}]`
	harness.Must(t, os.WriteFile(path+".stops", []byte(stop), 0o600)) // warns
	p := ready(t, path, append(quick, anyAdmin)...)
	for _, cure := range []string{"Look at that file, in which a start left", "What to do</b>: Read the reasons"} {
		harness.Must(t, harness.Eventually(20*time.Second, func() error {
			if _, page := order(t, p, "GET", "/status", ""); !strings.Contains(page, cure) {
				return errors.New("no cure in " + page)
			}
			return nil
		}))
	}
}

package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"accountservice/tests/harness"
)

const usersURL = "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL"

func TestSecretFileIsReadWithoutItsLastLineEnd(t *testing.T) {
	for _, content := range []string{"7000", "7000\n", "7000\r\n"} {
		path := harness.File(t, "port", content)
		if got := load(t, "ACCOUNTSERVICE_HTTP_PORT_FILE="+path).HTTP.Port; got != 7000 {
			t.Errorf("%q: got %d", content, got)
		}
	}
	path := harness.File(t, "url", "http://u:hunter2@users/\n")
	if got := load(t, usersURL+"_FILE="+path).Checks.Dependencies["users"].URL.Reveal(); got != "http://u:hunter2@users/" {
		t.Errorf("got %q", got)
	}
}

func TestSecretFileThatIsNoValueIsAnError(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{
		"":                              "http.port: (secret file %s, named by ACCOUNTSERVICE_HTTP_PORT_FILE) is empty",
		"\n":                            "http.port: (secret file %s, named by ACCOUNTSERVICE_HTTP_PORT_FILE) is empty",
		"hunter2":                       "http.port: the value (from secret file %s, named by ACCOUNTSERVICE_HTTP_PORT_FILE) must be a whole decimal number: digits only, without leading zeros, 0x, _, e or +",
		"7000\n\n":                      "http.port: the value (from secret file %s, named by ACCOUNTSERVICE_HTTP_PORT_FILE) holds a line break or another character that does not print: remove it",
		"7000\r\n\r\n":                  "http.port: the value (from secret file %s, named by ACCOUNTSERVICE_HTTP_PORT_FILE) holds a line break or another character that does not print: remove it",
		"\r\n":                          "http.port: (secret file %s, named by ACCOUNTSERVICE_HTTP_PORT_FILE) is empty",
		"\ufeff7000\n":                  "http.port: (secret file %s, named by ACCOUNTSERVICE_HTTP_PORT_FILE) starts with a byte-order mark: save it as UTF-8 without one",
		"\"7000\"\n":                    "http.port: the value (from secret file %s, named by ACCOUNTSERVICE_HTTP_PORT_FILE) starts or ends with a quote, which docker run --env-file does not remove: remove it",
		strings.Repeat("1", 64<<10):     "http.port: the value (from secret file %s, named by ACCOUNTSERVICE_HTTP_PORT_FILE) is too large a number",
		strings.Repeat("1", (64<<10)+1): "http.port: (secret file %s, named by ACCOUNTSERVICE_HTTP_PORT_FILE) is larger than 64KiB",
	} {
		path := filepath.Join(dir, "port")
		harness.Must(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := Load("", []string{"ACCOUNTSERVICE_HTTP_PORT_FILE=" + path})
		wantFaults(t, err, fmt.Sprintf(want, path))
	}
}

func TestSecretFileThatCannotBeReadIsAnError(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	harness.Must(t, syscall.Mkfifo(pipe, 0o600))
	for path, want := range map[string]string{
		"/nowhere/port":            "does not exist: is it mounted, and the name right?",
		dir:                        "is a directory: name a file in it",
		`"/run/secrets/port"`:      "has a name that starts or ends with a quote, which docker run --env-file does not remove: remove it",
		"${SECRETS}/port":          "has a name that holds a variable ($) that was not expanded: expand it, or write the value itself",
		pipe:                       "is no regular file",
		dir + "/{{.Service.Name}}": "has a name that holds {{, a Swarm template that was not expanded: expand it, or write the value itself",
	} {
		_, err := Load("", []string{"ACCOUNTSERVICE_HTTP_PORT_FILE=" + path})
		wantFaults(t, err, "http.port: (secret file "+path+", named by ACCOUNTSERVICE_HTTP_PORT_FILE) "+want)
	}
}

func TestUnreadableSecretFileNamesUidAndMode(t *testing.T) {
	path := harness.File(t, "port", "hunter2")
	harness.Must(t, os.Chmod(path, 0o000))
	_, err := loadAsNobody(t, path, []string{"ACCOUNTSERVICE_HTTP_PORT_FILE=" + path})
	uid := os.Geteuid()
	wantFaults(t, err, fmt.Sprintf("http.port: (secret file %s, named by ACCOUNTSERVICE_HTTP_PORT_FILE) can't be read: "+
		"it belongs to uid %d with mode 0 and this process is uid %d; set uid or mode where the secret or config is granted", path, uid, uid))
}

// loadAsNobody loads without what root may do with files. The thread that gave
// it up is not unlocked, and ends with its goroutine.
func loadAsNobody(t *testing.T, path string, environ []string) (loaded Loaded, err error) {
	t.Helper()
	if os.Geteuid() != 0 {
		return Load("", environ)
	}
	harness.Must(t, os.Chmod(filepath.Join(path, "../.."), 0o755))
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = syscall.Setfsuid(65534); err == nil {
			loaded, err = Load("", environ)
		}
	}()
	<-done
	return loaded, err
}

func TestValueAndFileOfOneSettingIsAnError(t *testing.T) {
	path := harness.File(t, "port", "7000")
	_, err := Load("", []string{"ACCOUNTSERVICE_HTTP_PORT=7000", "ACCOUNTSERVICE_HTTP_PORT_FILE=" + path})
	wantFaults(t, err, "http.port: is set by both ACCOUNTSERVICE_HTTP_PORT and "+path+", named by ACCOUNTSERVICE_HTTP_PORT_FILE: keep one")
	load(t, "ACCOUNTSERVICE_HTTP_PORT=", "ACCOUNTSERVICE_HTTP_PORT_FILE="+path)
	load(t, "ACCOUNTSERVICE_HTTP_PORT=7000", "ACCOUNTSERVICE_HTTP_PORT_FILE=")
}

// hides fails the test if the configuration, or one of these values of it, shows one of these secrets by a verb of fmt,
// an encoder, a log or Print. It returns all that was shown.
func hides(t *testing.T, secrets []string, loaded Loaded, values ...any) (shown string) {
	t.Helper()
	var b bytes.Buffer
	for _, value := range append(values, loaded, &loaded, loaded.Config) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T", "%10.3v"} {
			fmt.Fprintf(&b, verb+"\n", value)
		}
		for _, handler := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(handler).Info("loaded", "value", value)
		}
		for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
			content, err := marshal(value)
			harness.Must(t, err)
			b.Write(content)
		}
	}
	for _, format := range []string{"yaml", "json", "env"} {
		harness.Must(t, loaded.Print(&b, format))
	}
	for line := range strings.Lines(b.String()) {
		for _, secret := range secrets {
			if strings.Contains(line, secret) || strings.Contains(line, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s is in %s", secret, line)
			}
		}
	}
	return b.String()
}

// wrapper is how another package might hold a secret: unexported.
type wrapper struct {
	url    URL
	secret SecretURL
	dep    *Dependency
}

func TestNothingPrintsASecret(t *testing.T) {
	const hook = "https://hooks.example.org/services/T0/hunter2"
	loaded := load(t, usersURL+"=https://u:hunter2@users:8080/health?token=hunter2&a=b;db_password=hunter2",
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_RATES_URL_FILE="+harness.File(t, "url", "http://hunter2@rates/\n"),
		"ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY_FILE="+harness.File(t, "key", "hunter2/hunter2\n"),
		"ACCOUNTSERVICE_BACKUP_S3_ACCESS_KEY=hunter2", "ACCOUNTSERVICE_NOTIFY_URL="+hook)
	users, s3, u := loaded.Checks.Dependencies["users"], loaded.Backup.S3, loaded.Notify.URL
	if !strings.Contains(users.URL.Reveal(), "u:hunter2@users") || s3.SecretKey.Reveal() != "hunter2/hunter2" ||
		s3.AccessKey.Reveal() != "hunter2" || u.Reveal() != hook {
		t.Fatalf("got %q, %q, %q and %q", users.URL.Reveal(), s3.AccessKey.Reveal(), s3.SecretKey.Reveal(), u.Reveal())
	}
	if u.String() != "https://xxxxx" || (SecretURL{}).String() != "" || (SecretURL{}).Reveal() != "" {
		t.Errorf("%q is shown as %q", u.Reveal(), u)
	}
	shown := hides(t, []string{"hunter2", "hooks.example.org"}, loaded, loaded.Checks, users, &users, users.URL, &users.URL,
		wrapper{url: users.URL, dep: &users, secret: u}, []any{users.URL}, s3, s3.SecretKey, u, loaded.Notify, &loaded.Notify)
	if !strings.Contains(shown, "https://u:xxxxx@users:8080/health?token=xxxxx&a=b;db_password=xxxxx") {
		t.Errorf("got no masked URL in:\n%s", shown)
	}
	if !strings.Contains(fmt.Sprint(s3.SecretKey), masked) {
		t.Errorf("the key is shown as %s", s3.SecretKey)
	}
}

// A text is printed and logged as it is, so none may have the login of a URL, wherever one was written.
func TestNoTextTakesTheLoginOfAURL(t *testing.T) {
	for _, r := range rowsOf(Config{}) {
		if _, isText := r.value.(string); !isText {
			continue
		}
		for _, text := range []string{"https://u:hunter2@host:9000", "postgres://hunter2@db/app", "s3://u:hunter2/2@b/c",
			"https:u:hunter2@host", "https:/u:hunter2@host", "u:hunter2@host"} {
			_, err := Load("", []string{variable(r.key) + "=" + text})
			if err == nil || !strings.Contains(err.Error(), r.key+": ") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v, want a fault that does not repeat %s", r.key, err, text)
			}
		}
	}
}

func TestSecretURLMustBeHTTP(t *testing.T) {
	for _, text := range []string{"ftp://hunter2/", "hunter2", "https:///hunter2", "https://h/#hunter2", "https://h:hunter2/"} {
		_, err := Load("", []string{"ACCOUNTSERVICE_NOTIFY_HEARTBEAT_URL=" + text})
		if err == nil || !strings.HasPrefix(err.Error(), "notify.heartbeat_url: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want a fault that does not repeat it", text, err)
		}
	}
}

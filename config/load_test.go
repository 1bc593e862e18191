package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// load loads environ alone, and fails the test at a fault.
func load(t *testing.T, environ ...string) Loaded {
	t.Helper()
	loaded, err := Load("", environ)
	harness.Must(t, err)
	return loaded
}

// wantFaults compares every line.
func wantFaults(t *testing.T, err error, want ...string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func TestKeysOfTheFileThatAVariableHidesAreToldWithoutTheirValues(t *testing.T) {
	file := harness.File(t, "a.yaml", "store:\n  seed: 7\n  bolt: {path: /mine, create: auto, rescue_dir: /rescued}\n")
	secret := harness.File(t, "dir", "/elsewhere\n")
	loaded, err := Load(file, []string{"ACCOUNTSERVICE_STORE_BOLT_PATH=/data/accounts.db", "ACCOUNTSERVICE_STORE_BOLT_CREATE=auto",
		"ACCOUNTSERVICE_STORE_BOLT_RESCUE_DIR_FILE=" + secret, "ACCOUNTSERVICE_HTTP_PORT=7001"})
	harness.Must(t, err)
	want := []string{
		"store.bolt.path (" + file + ":3) is set otherwise by ACCOUNTSERVICE_STORE_BOLT_PATH",
		"store.bolt.rescue_dir (" + file + ":3) is set otherwise by secret file " + secret + ", named by ACCOUNTSERVICE_STORE_BOLT_RESCUE_DIR_FILE",
	}
	if !slices.Equal(loaded.Hidden, want) {
		t.Errorf("got:\n%q\nwant:\n%q", loaded.Hidden, want)
	}
}

// The client is to be the one who ends a silent connection: a request that meets the end by the service fails, which
// was frequent for clients that wrote once a minute. .NET and many proxies keep connections for 60 s, Go and Traefik
// for 90 s, curl for 118 s, Caddy for 2 min.
func TestSilentConnectionsAreKeptForLongerThanClientsKeepThem(t *testing.T) {
	if kept := load(t).HTTP.IdleTimeout; kept <= 2*time.Minute {
		t.Errorf("by default they are kept for %s, want more than 2m", kept)
	}
}

func TestVariableGoesBeforeFileAndFileBeforeDefault(t *testing.T) {
	file := harness.File(t, "a.yaml", "http: {port: 7001, max_body: 512KiB}\nchecks:\n  dependencies:\n    users: {url: http://file/, timeout: 300ms}\n")
	loaded, err := Load("", []string{
		"ACCOUNTSERVICE_CONFIG=" + file,
		"ACCOUNTSERVICE_HTTP_PORT=7002",
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL=http://env/",
	})
	harness.Must(t, err)
	users := loaded.Checks.Dependencies["users"]
	if loaded.HTTP.Port != 7002 || loaded.HTTP.MaxBody != 512<<10 || loaded.Store.Seed != 100 ||
		users.URL.Reveal() != "http://env/" || users.Timeout != 300*time.Millisecond {
		t.Errorf("got %+v", loaded.Config)
	}
}

func TestFlagGoesBeforeTheVariableThatNamesTheFile(t *testing.T) {
	file := harness.File(t, "a.yaml", "http: {port: 7001}")
	loaded, err := Load(file, []string{"ACCOUNTSERVICE_CONFIG=/nowhere"})
	if err != nil || loaded.HTTP.Port != 7001 {
		t.Errorf("got port %d, %v", loaded.HTTP.Port, err)
	}
}

func TestMissingConfigurationFileIsAnError(t *testing.T) {
	_, err := Load("", []string{"ACCOUNTSERVICE_CONFIG=/nowhere/a.yaml"})
	wantFaults(t, err, "/nowhere/a.yaml: the configuration file (named by ACCOUNTSERVICE_CONFIG) does not exist: is it mounted, and the name right?")
	_, err = Load("/", nil)
	wantFaults(t, err, "/: the configuration file is a directory: name a file in it")
	_, err = Load("", []string{"ACCOUNTSERVICE_CONFIG=/etc/{{.Node}}.yaml"})
	wantFaults(t, err, "/etc/{{.Node}}.yaml: the configuration file (named by ACCOUNTSERVICE_CONFIG) has a name that holds {{, a Swarm template that was not expanded: expand it, or write the value itself")
}

func TestWhatABrokenFileMayHoldIsNotMissed(t *testing.T) {
	file := harness.File(t, "a.yaml", "http: [")
	_, err := Load(file, []string{"ACCOUNTSERVICE_CHECKS_TIMEOUT=9s", "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_A_TIMEOUT=1s", "ACCOUNTSERVICE_HTTP_PORT=x"})
	if faults, ok := err.(Faults); !ok || len(faults) != 2 || !strings.HasPrefix(faults[1], "http.port: ") {
		t.Errorf("got:\n%v", err)
	}
}

func TestWhatABrokenSectionMayHoldIsNotMissed(t *testing.T) {
	file := harness.File(t, "a.yaml", "http: {drain_delay: 50s}\nchecks: [interval, 20s]\n")
	_, err := Load(file, []string{"ACCOUNTSERVICE_CHECKS_TIMEOUT=9s", "ACCOUNTSERVICE_CHECKS_DISK_TIMEOUT=3s", "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_A_TIMEOUT=1s"})
	if faults, ok := err.(Faults); !ok || len(faults) != 2 || !strings.HasPrefix(err.Error(), "checks: ") || !strings.HasPrefix(faults[1], "http.drain_delay: ") {
		t.Errorf("got:\n%v", err)
	}
}

func TestFileThatIsTooLargeIsAnError(t *testing.T) {
	file := harness.File(t, "a.yaml", strings.Repeat("#\n", maxFile/2+1))
	_, err := Load(file, nil)
	wantFaults(t, err, file+": the configuration file is larger than 1MiB")
}

func TestDefaultsAreInheritedFromTheChecksSection(t *testing.T) {
	loaded := load(t, "ACCOUNTSERVICE_CHECKS_INTERVAL=4s", "ACCOUNTSERVICE_CHECKS_DISK_INTERVAL=5s",
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL=http://users:8080/health")
	users := loaded.Checks.Dependencies["users"]
	if loaded.Checks.Bolt.Interval != 4*time.Second || loaded.Checks.Disk.Interval != 5*time.Second || users.Interval != 4*time.Second {
		t.Errorf("got %+v", loaded.Checks)
	}
	if loaded.Checks.Bolt.OnFailure != "restart" || users.OnFailure != "degrade" || users.FailAfter != 2 {
		t.Errorf("got %+v", loaded.Checks)
	}
}

func TestDependencyNamesInVariables(t *testing.T) {
	const url, prefix = "http://a/", "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_"
	for variable, name := range map[string]string{
		"USERS_URL":           "users",
		"USER_API_URL":        "user_api",
		"URL_URL":             "url",
		"A_FAIL_AFTER_URL":    "a_fail_after",
		"LOG_FILE_URL":        "log_file",
		"7_URL":               "7",
		"TIMEOUT_TIMEOUT_URL": "timeout_timeout",
	} {
		loaded := load(t, prefix+variable+"="+url)
		if got := loaded.Checks.Dependencies[name].URL.Reveal(); got != url {
			t.Errorf("%s: got %+v, want %s", variable, loaded.Checks.Dependencies, name)
		}
	}
}

func TestOtherVariablesAreIgnored(t *testing.T) {
	load(t, "PATH=/bin", "HTTP_PORT=x", "ACCOUNTSERVICE=x", "HOSTNAME=a", "DOCKER_NODE={{.Node}}", "no equals sign", "")
}

func TestUnknownNamesCanBeWarnings(t *testing.T) {
	file := harness.File(t, "a.yaml", "http: {prot: 1}\nnew: {section: 1}\nchecks: {dependencies: {users: {url: 'http://u/', path: x}}}\n")
	loaded, err := Load(file, []string{"ACCOUNTSERVICE_CONFIG_UNKNOWN=warn", "ACCOUNTSERVICE_HTTP_PROT=1", "ACCOUNTSERVICE_NEW_THING_FILE=/x"})
	harness.Must(t, err)
	want := strings.Join([]string{
		"http.prot: unknown key (" + file + ":1), did you mean http.port? (ignored)",
		"new: unknown key (" + file + ":2): accountservice config docs lists all (ignored)",
		"checks.dependencies.users.path: unknown key (" + file + ":3): accountservice config docs lists all (ignored)",
		"ACCOUNTSERVICE_HTTP_PROT: unknown variable, did you mean ACCOUNTSERVICE_HTTP_PORT? (ignored)",
		"ACCOUNTSERVICE_NEW_THING_FILE: unknown variable: accountservice config docs lists all (ignored)",
	}, "\n")
	if got := strings.Join(loaded.Warnings, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		_, err := Load(sampleFile, []string{"ACCOUNTSERVICE_HTTP_PORT=7000"})
		harness.Must(b, err)
	}
}

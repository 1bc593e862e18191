package docs

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/config"
	"accountservice/tests/harness"
)

// ofImage is what the Dockerfile sets.
var ofImage = []string{"ACCOUNTSERVICE_HTTP_HOST=0.0.0.0", "ACCOUNTSERVICE_STORE_BOLT_PATH=/data/accounts.db"}

// loaded returns the configuration that an environment gives. A variable that names a file with a URL gets a file of the
// test.
func loaded(t *testing.T, environ []string) config.Config {
	t.Helper()
	url := harness.File(t, "url", "postgres://accounts@pg/accounts")
	environ = slices.Clone(environ)
	for i, variable := range environ {
		if name, _, _ := strings.Cut(variable, "="); strings.HasSuffix(name, "_URL_FILE") {
			environ[i] = name + "=" + url
		}
	}
	cfg, err := config.Load("", environ)
	if err != nil || len(cfg.Warnings) > 0 {
		t.Fatalf("%q: %v %v", environ, err, cfg.Warnings)
	}
	return cfg.Config
}

// drains fails the test unless the service has time to drain before it is killed.
func drains(t *testing.T, cfg config.Config, killed time.Duration) {
	t.Helper()
	if cfg.HTTP.StopGracePeriod >= killed {
		t.Errorf("killed after %s, and http.stop_grace_period is %s", killed, cfg.HTTP.StopGracePeriod)
	}
}

// unitKeys returns the values of each key of a file in the format of systemd.
func unitKeys(t *testing.T, file string) map[string][]string {
	t.Helper()
	text := harness.Read(t, file)
	keys := map[string][]string{}
	for _, line := range regexp.MustCompile(`(?m)^([A-Za-z]+)=(.*)$`).FindAllStringSubmatch(text, -1) {
		keys[line[1]] = append(keys[line[1]], line[2])
	}
	return keys
}

// duration is the value of a key, in systemd's notation or in seconds.
func duration(t *testing.T, keys map[string][]string, key string) time.Duration {
	t.Helper()
	text := strings.Replace(strings.Join(keys[key], ""), "min", "m", 1)
	if strings.Trim(text, "0123456789") == "" {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Errorf("%s: %v", key, err)
	}
	return d
}

func TestUnitFitsTheDefaults(t *testing.T) {
	keys := unitKeys(t, "../../configs/accountservice.service")
	credentials := map[string]bool{}
	for _, credential := range keys["LoadCredential"] {
		name, _, _ := strings.Cut(credential, ":")
		credentials["%d/"+name] = true
	}
	environ := strings.NewReplacer("%S", "/var/lib")
	var variables []string
	for _, variable := range keys["Environment"] {
		if _, value, _ := strings.Cut(variable, "="); strings.HasPrefix(value, "%d/") && !credentials[value] {
			t.Errorf("%s is of no credential", variable)
		}
		variables = append(variables, environ.Replace(variable))
	}
	cfg := loaded(t, variables)
	drains(t, cfg, duration(t, keys, "TimeoutStopSec"))
	if folder := "/var/lib/" + keys["StateDirectory"][0]; path.Dir(cfg.Store.Bolt.Path) != folder {
		t.Errorf("the database is at %s, and the service may write %s", cfg.Store.Bolt.Path, folder)
	}
	if start := duration(t, keys, "TimeoutStartSec"); start <= cfg.Store.Bolt.OpenTimeout+time.Minute {
		t.Errorf("a start may take %s", start)
	}
	// a health answer is stale after 5 s, and one that is late once must not restart the service
	if watchdog := duration(t, keys, "WatchdogSec"); watchdog/2 < 10*time.Second {
		t.Errorf("WatchdogSec is %s", watchdog)
	}
}

func TestQuadletFitsTheDefaults(t *testing.T) {
	keys := unitKeys(t, "../../configs/accountservice.container")
	cfg := loaded(t, append(keys["Environment"], ofImage...))
	drains(t, cfg, duration(t, keys, "StopTimeout"))
	if stop, unit := duration(t, keys, "StopTimeout"), duration(t, keys, "TimeoutStopSec"); unit <= stop {
		t.Errorf("systemd kills Podman after %s, before Podman kills the service after %s", unit, stop)
	}
	if published := keys["PublishPort"][0]; !strings.HasSuffix(published, fmt.Sprint(":", cfg.HTTP.Port)) {
		t.Errorf("%s is published, and the port is %d", published, cfg.HTTP.Port)
	}
	if volume := keys["Volume"][0]; !strings.HasSuffix(volume, ":"+path.Dir(cfg.Store.Bolt.Path)) {
		t.Errorf("%s is no volume for %s", volume, cfg.Store.Bolt.Path)
	}
	if !strings.Contains(keys["Secret"][0], "target="+cfg.Auth.TokensPath+",") {
		t.Errorf("%s is no secret for %s", keys["Secret"][0], cfg.Auth.TokensPath)
	}
	// the same probe as the image's, whose own limit is 2 s
	dockerfile := harness.Read(t, "../../Dockerfile")
	want := fmt.Sprintf("HEALTHCHECK --interval=%s --timeout=%s --start-period=%s --retries=%s ", keys["HealthInterval"][0],
		keys["HealthTimeout"][0], keys["HealthStartPeriod"][0], keys["HealthRetries"][0])
	if !strings.Contains(dockerfile, want) || keys["HealthCmd"][0] != "CMD /healthchecker" {
		t.Errorf("the probe is %s and %s, not that of the Dockerfile", want, keys["HealthCmd"])
	}
}

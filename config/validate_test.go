package config

import (
	"slices"
	"strings"
	"testing"
)

// Every row breaks a rule between values; the fault is at one the operator set: at
// each of these variables, with the rule. Variables are without their prefix.
func TestRulesBetweenValues(t *testing.T) {
	const stale = "checks.stale_after 15s must be at least checks.interval "
	const drain = "http.shutdown_timeout 20s + 2s must be at most http.stop_grace_period "
	for name, row := range map[string]struct {
		environ string
		faults  map[string]string
	}{
		"timeout above interval": {"CHECKS_TIMEOUT=9s CHECKS_INTERVAL=5s CHECKS_STALE_AFTER=1m",
			map[string]string{"CHECKS_TIMEOUT=9s": "checks.timeout 9s must be below checks.interval 5s"}},
		"timeout equal to interval": {"CHECKS_TIMEOUT=2s",
			map[string]string{"CHECKS_TIMEOUT=2s": "checks.timeout 2s must be below checks.interval 2s"}},
		"interval below the default timeout": {"CHECKS_INTERVAL=500ms",
			map[string]string{"CHECKS_INTERVAL=500ms": "checks.timeout 1s must be below checks.interval 500ms"}},
		"one check's interval below the inherited timeout": {"CHECKS_TIMEOUT=1500ms CHECKS_DISK_INTERVAL=500ms",
			map[string]string{"CHECKS_DISK_INTERVAL=500ms": "checks.timeout 1.5s must be below checks.disk.interval 500ms"}},
		"each built-in check's timeout above its interval": {"CHECKS_BOLT_TIMEOUT=5s CHECKS_RECORDS_TIMEOUT=5s",
			map[string]string{
				"CHECKS_BOLT_TIMEOUT=5s":    "checks.bolt.timeout 5s must be below checks.interval 2s",
				"CHECKS_RECORDS_TIMEOUT=5s": "checks.records.timeout 5s must be below checks.interval 2s"}},
		"one dependency's timeout above the inherited interval": {"CHECKS_DEPENDENCIES_A_URL=http://a/ CHECKS_DEPENDENCIES_A_TIMEOUT=3s",
			map[string]string{"CHECKS_DEPENDENCIES_A_TIMEOUT=3s": "checks.dependencies.a.timeout 3s must be below checks.interval 2s"}},
		"stale before a failure counts": {"CHECKS_STALE_AFTER=4s",
			map[string]string{"CHECKS_STALE_AFTER=4s": "checks.stale_after 4s must be at least checks.interval 2s x checks.fail_after 2 + checks.timeout 1s"}},
		"too many failures for the default stale_after": {"CHECKS_FAIL_AFTER=10",
			map[string]string{"CHECKS_FAIL_AFTER=10": stale + "2s x checks.fail_after 10 + checks.timeout 1s"}},
		"one check's failures for the inherited stale_after": {"CHECKS_BOLT_FAIL_AFTER=10",
			map[string]string{"CHECKS_BOLT_FAIL_AFTER=10": stale + "2s x checks.bolt.fail_after 10 + checks.timeout 1s"}},
		"the largest values there are": {"CHECKS_FAIL_AFTER=100 CHECKS_INTERVAL=1h CHECKS_TIMEOUT=59m",
			map[string]string{"CHECKS_INTERVAL=1h": stale + "1h x checks.fail_after 100 + checks.timeout 59m"}},
		"a drain longer than the grace": {"HTTP_DRAIN_DELAY=10s",
			map[string]string{"HTTP_DRAIN_DELAY=10s": "http.drain_delay 10s + " + drain + "30s"}},
		"a grace shorter than the default drain": {"HTTP_STOP_GRACE_PERIOD=10s",
			map[string]string{"HTTP_STOP_GRACE_PERIOD=10s": "http.drain_delay 0s + " + drain + "10s"}},
		"a header later than the request": {"HTTP_READ_TIMEOUT=1s",
			map[string]string{"HTTP_READ_TIMEOUT=1s": "http.read_header_timeout 5s must be at most http.read_timeout 1s"}},
		"a drain that just fits": {"HTTP_DRAIN_DELAY=8s", nil},
		"the longest grace":      {"HTTP_STOP_GRACE_PERIOD=57s HTTP_SHUTDOWN_TIMEOUT=55s", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var environ []string
			for entry := range strings.FieldsSeq(row.environ) {
				environ = append(environ, EnvPrefix+entry)
			}
			faults := Faults{}
			for set, rule := range row.faults {
				variable, value, _ := strings.Cut(EnvPrefix+set, "=")
				r, dependency, _ := newSchema().ofVariable(variable)
				faults = append(faults, named(r.key, dependency)+": "+value+" (from "+variable+") does not fit: "+rule)
			}
			slices.Sort(faults)
			_, err := Load("", environ)
			wantFaults(t, err, faults...)
		})
	}
}

package config

import "testing"

// Every row breaks a rule between values; the fault is at one the operator set.
func TestRulesBetweenValues(t *testing.T) {
	for name, row := range map[string]struct{ environ, want []string }{
		"timeout above interval": {
			[]string{"CHECKS_TIMEOUT=9s", "CHECKS_INTERVAL=5s", "CHECKS_STALE_AFTER=1m"},
			[]string{"checks.timeout: 9s (from ACCOUNTSERVICE_CHECKS_TIMEOUT) does not fit: checks.timeout 9s must be below checks.interval 5s"},
		},
		"timeout equal to interval": {
			[]string{"CHECKS_TIMEOUT=2s"},
			[]string{"checks.timeout: 2s (from ACCOUNTSERVICE_CHECKS_TIMEOUT) does not fit: checks.timeout 2s must be below checks.interval 2s"},
		},
		"interval below the default timeout": {
			[]string{"CHECKS_INTERVAL=500ms"},
			[]string{"checks.interval: 500ms (from ACCOUNTSERVICE_CHECKS_INTERVAL) does not fit: checks.timeout 1s must be below checks.interval 500ms"},
		},
		"one check's interval below the inherited timeout": {
			[]string{"CHECKS_TIMEOUT=1500ms", "CHECKS_DISK_INTERVAL=500ms"},
			[]string{"checks.disk.interval: 500ms (from ACCOUNTSERVICE_CHECKS_DISK_INTERVAL) does not fit: checks.timeout 1.5s must be below checks.disk.interval 500ms"},
		},
		"each built-in check's timeout above its interval": {
			[]string{"CHECKS_BOLT_TIMEOUT=5s", "CHECKS_RECORDS_TIMEOUT=5s"},
			[]string{
				"checks.bolt.timeout: 5s (from ACCOUNTSERVICE_CHECKS_BOLT_TIMEOUT) does not fit: checks.bolt.timeout 5s must be below checks.interval 2s",
				"checks.records.timeout: 5s (from ACCOUNTSERVICE_CHECKS_RECORDS_TIMEOUT) does not fit: checks.records.timeout 5s must be below checks.interval 2s",
			},
		},
		"one dependency's timeout above the inherited interval": {
			[]string{"CHECKS_DEPENDENCIES_A_URL=http://a/", "CHECKS_DEPENDENCIES_A_TIMEOUT=3s"},
			[]string{"checks.dependencies.a.timeout: 3s (from ACCOUNTSERVICE_CHECKS_DEPENDENCIES_A_TIMEOUT) does not fit: checks.dependencies.a.timeout 3s must be below checks.interval 2s"},
		},
		"stale before a failure counts": {
			[]string{"CHECKS_STALE_AFTER=4s"},
			[]string{"checks.stale_after: 4s (from ACCOUNTSERVICE_CHECKS_STALE_AFTER) does not fit: checks.stale_after 4s must be at least checks.interval 2s x checks.fail_after 2 + checks.timeout 1s"},
		},
		"too many failures for the default stale_after": {
			[]string{"CHECKS_FAIL_AFTER=10"},
			[]string{"checks.fail_after: 10 (from ACCOUNTSERVICE_CHECKS_FAIL_AFTER) does not fit: checks.stale_after 15s must be at least checks.interval 2s x checks.fail_after 10 + checks.timeout 1s"},
		},
		"one check's failures for the inherited stale_after": {
			[]string{"CHECKS_BOLT_FAIL_AFTER=10"},
			[]string{"checks.bolt.fail_after: 10 (from ACCOUNTSERVICE_CHECKS_BOLT_FAIL_AFTER) does not fit: checks.stale_after 15s must be at least checks.interval 2s x checks.bolt.fail_after 10 + checks.timeout 1s"},
		},
		"the largest values there are": {
			[]string{"CHECKS_FAIL_AFTER=100", "CHECKS_INTERVAL=1h", "CHECKS_TIMEOUT=59m"},
			[]string{"checks.interval: 1h (from ACCOUNTSERVICE_CHECKS_INTERVAL) does not fit: checks.stale_after 15s must be at least checks.interval 1h x checks.fail_after 100 + checks.timeout 59m"},
		},
		"a drain longer than the grace": {
			[]string{"HTTP_DRAIN_DELAY=10s"},
			[]string{"http.drain_delay: 10s (from ACCOUNTSERVICE_HTTP_DRAIN_DELAY) does not fit: http.drain_delay 10s + http.shutdown_timeout 20s + 2s must be at most http.stop_grace_period 30s"},
		},
		"a grace shorter than the default drain": {
			[]string{"HTTP_STOP_GRACE_PERIOD=10s"},
			[]string{"http.stop_grace_period: 10s (from ACCOUNTSERVICE_HTTP_STOP_GRACE_PERIOD) does not fit: http.drain_delay 0s + http.shutdown_timeout 20s + 2s must be at most http.stop_grace_period 10s"},
		},
		"a drain that just fits": {[]string{"HTTP_DRAIN_DELAY=8s"}, nil},
		"the longest grace":      {[]string{"HTTP_STOP_GRACE_PERIOD=57.9s", "HTTP_SHUTDOWN_TIMEOUT=55.9s"}, nil},
		"a header later than the request": {
			[]string{"HTTP_READ_TIMEOUT=1s"},
			[]string{"http.read_timeout: 1s (from ACCOUNTSERVICE_HTTP_READ_TIMEOUT) does not fit: http.read_header_timeout 5s must be at most http.read_timeout 1s"},
		},
		"a value that is none breaks no rule": {
			[]string{"CHECKS_INTERVAL=x", "CHECKS_TIMEOUT=9s", "CHECKS_BOLT_TIMEOUT=3s"},
			[]string{"checks.interval: x (from ACCOUNTSERVICE_CHECKS_INTERVAL) must be a duration with units ns, us, ms, s, m or h, such as 5s or 1m30s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var environ []string
			for _, entry := range row.environ {
				environ = append(environ, EnvPrefix+entry)
			}
			_, err := Load("", environ)
			wantFaults(t, err, row.want...)
		})
	}
}

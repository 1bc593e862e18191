package swarm

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestProxiesTakeTheirSamples has each proxy that is installed read the files for it.
func TestProxiesTakeTheirSamples(t *testing.T) {
	for file, c := range map[string]struct {
		has  func() bool
		args []string
	}{
		"haproxy.cfg":     {hasHAProxy, []string{"haproxy", "-c", "-f"}},
		"haproxy.one.cfg": {hasHAProxy, []string{"haproxy", "-c", "-f"}},
		"Caddyfile":       {hasCaddy, []string{"caddy", "validate", "--adapter", "caddyfile", "--config"}},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			if !c.has() {
				t.Skipf("needs %s here", c.args[0])
			}
			if out, err := exec.Command(c.args[0], append(c.args[1:], root+"/configs/"+file)...).CombinedOutput(); err != nil {
				t.Errorf("%s refuses configs/%s: %v\n%s", c.args[0], file, err, out)
			}
		})
	}
}

func hasHAProxy() bool {
	_, err := exec.LookPath("haproxy")
	return err == nil
}

// hasCaddy reports whether there is a Caddy that is new enough for configs/Caddyfile.
func hasCaddy() bool {
	out, _ := exec.Command("caddy", "version").Output()
	module, _ := exec.Command("caddy", "build-info").Output() // of one by go install, which calls its version unknown
	found := regexp.MustCompile(`(?m)(?:^|^mod\s+github\.com/caddyserver/caddy/v2\s+)v?(\d+)\.(\d+)\.(\d+)`).FindSubmatch(append(out, module...))
	if found == nil {
		return false
	}
	version := 0
	for _, part := range found[1:] {
		n, _ := strconv.Atoi(string(part)) // digits
		version = version*1000 + n
	}
	return version >= 2_011_002
}

// needCaddy fails the test unless hasCaddy.
func needCaddy(d docker) {
	d.t.Helper()
	if !hasCaddy() {
		d.t.Fatal("needs caddy 2.11.2 or newer (go install github.com/caddyserver/caddy/v2/cmd/caddy@latest); Debian 12 has an older one")
	}
}

// Both proxies have requests wait for as long, and longer than a task takes to be replaced: it has stop_grace_period to
// end, and is healthy after its first probe.
func TestProxiesOfOneReplicaWaitForAsLongAsItsReplacementTakes(t *testing.T) {
	caddy, haproxy := read(t, "configs/Caddyfile"), read(t, "configs/haproxy.one.cfg")
	s := service(t, "configs/stack.yml")
	replaced := s.StopGrace.Duration + 2*time.Second + s.Healthcheck.StartPeriod.Duration + s.Healthcheck.Interval.Duration
	tries := regexp.MustCompile(`(?m)^    retries (\d+)`).FindStringSubmatch(haproxy)
	if tries == nil {
		t.Fatal("configs/haproxy.one.cfg has no retries")
	}
	n, _ := strconv.Atoi(tries[1]) // digits
	promises(t, "configs/haproxy.one.cfg", map[string]bool{
		"it tries every 500ms":         strings.Contains(haproxy, "\n    timeout connect 500ms\n"),
		"longer than a replacement":    time.Duration(n)*500*time.Millisecond > replaced,
		"no check refuses requests":    !regexp.MustCompile(`(?m)^ +(default-)?server .*\bcheck\b`).MatchString(haproxy),
		"the DNS may name no task for": strings.Contains(haproxy, "hold nx         60s"),
	})
	promises(t, "configs/Caddyfile", map[string]bool{
		"requests wait as long as with HAProxy": n == 120 && strings.Contains(caddy, "lb_try_duration 60s"),
		"a body that is tried again is whole":   strings.Contains(caddy, "request_buffers 256KiB") && defaults(t).HTTP.MaxBody == 256<<10,
	})
}

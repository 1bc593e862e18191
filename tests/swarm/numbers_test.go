package swarm

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// probeGivesUp is the probe's own deadline, as the README says.
const probeGivesUp = 2 * time.Second

// setting is a duration among the variables of a stack file.
func (s serviceFile) setting(t *testing.T, name string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s.Environment["ACCOUNTSERVICE_"+name])
	if err != nil {
		t.Fatalf("ACCOUNTSERVICE_%s: %v", name, err)
	}
	return d
}

// early is how long after it was healthy a release may fail, and is still rolled back.
const early = 20 * time.Second

// noticed is when /health says at the latest that the disk hangs: after hung_after the check fails, and is published.
func noticed(t *testing.T) time.Duration {
	t.Helper()
	c := defaults(t).Checks.Bolt
	return c.HungAfter + time.Duration(c.FailAfter)*c.Interval + c.Timeout + time.Second
}

// unhealthy is when a task is unhealthy at the latest, after /health said so.
func (s serviceFile) unhealthy() time.Duration {
	h := s.Healthcheck
	return time.Duration(h.Retries) * (h.Interval.Duration + h.Timeout.Duration)
}

// end is when a task has ended at the latest, after the fault that is noticed last: it is told to stop some moments
// after it was unhealthy, obeys nothing, and is killed.
func (s serviceFile) end(t *testing.T) time.Duration {
	t.Helper()
	return noticed(t) + s.unhealthy() + 2*time.Second + s.StopGrace.Duration
}

func TestStackFileSaysWhyBeforeItsTaskIsKilled(t *testing.T) {
	s := service(t, "configs/stack.yml")
	h, open := s.Healthcheck, s.setting(t, "STORE_BOLT_OPEN_TIMEOUT")
	said := fmt.Sprintf("`monitor` (%.0f s)", s.Deploy.Update.Monitor.Seconds())
	promises(t, "configs/stack.yml", map[string]bool{
		"the grace period is what the service reckons with":                  s.StopGrace.Duration == defaults(t).HTTP.StopGracePeriod,
		"and the service is told it":                                         s.setting(t, "HTTP_STOP_GRACE_PERIOD") == s.StopGrace.Duration,
		"grace period + 2s < 60s, where the engine's stop-first is no more":  s.StopGrace.Duration+2*time.Second < time.Minute,
		"a rollback replaces tasks in the order of an update":                s.Deploy.Rollback.Order == s.Deploy.Update.Order,
		"the probe gives up before it is killed":                             probeGivesUp < h.Timeout.Duration,
		"open_timeout > interval + what the probe takes: one probe sees why": open >= h.Interval.Duration+probeGivesUp,
		"open_timeout + 1s < start_period + retries x interval":              open+time.Second < h.StartPeriod.Duration+time.Duration(h.Retries)*h.Interval.Duration,
		"update monitor sees the end of what hangs in the first 20s":         s.Deploy.Update.Monitor.Duration > early+s.end(t),
		"the README says how long it is":                                     strings.Contains(read(t, "README.md"), said),
		"rollback monitor does, too":                                         s.Deploy.Rollback.Monitor.Duration > early+s.end(t),
		"drain and shutdown end within the grace period":                     s.setting(t, "HTTP_SHUTDOWN_TIMEOUT")+2*time.Second <= s.StopGrace.Duration,
		"no end to the attempts":                                             s.Deploy.Restart.MaxAttempts == 0,
	})
}

func TestComposeFileIsTheStackFileForOneMachine(t *testing.T) {
	stack, compose := service(t, "configs/stack.yml"), service(t, "configs/compose.yml")
	if compose.setting(t, "HTTP_STOP_GRACE_PERIOD") != stack.StopGrace.Duration {
		t.Error("configs/compose.yml does not tell the service its grace period")
	}
	compose.Environment, compose.Deploy = stack.Environment, stack.Deploy // what only a Swarm needs
	if !reflect.DeepEqual(compose, stack) {
		t.Errorf("configs/compose.yml has\n%+v, and configs/stack.yml\n%+v", compose, stack)
	}
}

// The stack is that of the test under load; a user's must keep the same.
func TestReplicasAndHAProxyFitEachOther(t *testing.T) {
	proxy := read(t, "configs/haproxy.cfg")
	value := func(pattern string) time.Duration {
		t.Helper()
		found := regexp.MustCompile(`(?m)^[^#]*` + pattern + `\s+(\d+\w*)`).FindStringSubmatch(proxy)
		if found == nil {
			t.Fatalf("configs/haproxy.cfg: no %s", pattern)
		}
		d, err := time.ParseDuration(found[1])
		if err != nil { // a number
			d, err = time.ParseDuration(found[1] + "ns")
		}
		harness.Must(t, err)
		return d
	}
	s := service(t, "tests/swarm/testdata/replicas.yml")
	drain, shutdown := s.setting(t, "HTTP_DRAIN_DELAY"), s.setting(t, "HTTP_SHUTDOWN_TIMEOUT")
	inter := value("inter")
	promises(t, "configs/haproxy.cfg with the replicas", map[string]bool{
		"drain_delay > inter x fall + 1s":                      drain > inter*value("fall")+time.Second,
		"drain_delay + shutdown_timeout + 2s fit in the grace": drain+shutdown+2*time.Second <= s.StopGrace.Duration,
		"update delay > hold valid + resolve + inter":          s.Deploy.Update.Delay.Duration > value("hold valid")+value("timeout resolve")+inter,
		"hold obsolete > drain_delay + shutdown_timeout":       value("hold obsolete") > drain+shutdown,
		"timeout server > the longest answer":                  value("timeout server") > 30*time.Second,
		"room to replace all replicas at once":                 int(value("server-template task")) == 2*s.Deploy.Replicas,
		"update monitor is that of the stack":                  s.Deploy.Update.Monitor == service(t, "configs/stack.yml").Deploy.Update.Monitor,
		"tasks are replaced in the order of the stack":         s.Deploy.Update.Order == service(t, "configs/stack.yml").Deploy.Update.Order,
	})
}

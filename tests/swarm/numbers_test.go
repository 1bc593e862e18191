package swarm

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// probeGivesUp is the probe's own deadline, as the README says.
const probeGivesUp = 2 * time.Second

// service is the one that a stack or compose file is about.
func service(t *testing.T, path string) serviceFile {
	t.Helper()
	var file stackFile
	if err := yaml.Unmarshal([]byte(read(t, path)), &file); err != nil {
		t.Fatal(err)
	}
	s, ok := file.Services["accountservice"]
	if !ok {
		t.Fatalf("%s: services %v, want accountservice", path, file.Services)
	}
	return s
}

// setting is a duration among the variables of a stack file.
func (s serviceFile) setting(t *testing.T, name string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s.Environment["ACCOUNTSERVICE_"+name])
	if err != nil {
		t.Fatalf("ACCOUNTSERVICE_%s: %v", name, err)
	}
	return d
}

// latest is when a fault is unhealthy at the latest.
func (s serviceFile) latest() time.Duration {
	return time.Duration(s.Healthcheck.Retries) * (s.Healthcheck.Interval.Duration + s.Healthcheck.Timeout.Duration)
}

// end is when a task that hangs has ended at the latest: it is told to stop some
// moments after it was unhealthy, obeys nothing, and is killed.
func (s serviceFile) end() time.Duration {
	return s.latest() + 2*time.Second + s.StopGrace.Duration
}

func TestStackFileSaysWhyBeforeItsTaskIsKilled(t *testing.T) {
	s := service(t, "configs/stack.yml")
	h, open := s.Healthcheck, s.setting(t, "STORE_BOLT_OPEN_TIMEOUT")
	for promise, kept := range map[string]bool{
		"the probe gives up before it is killed":                             probeGivesUp < h.Timeout.Duration,
		"open_timeout > interval + what the probe takes: one probe sees why": open >= h.Interval.Duration+probeGivesUp,
		"open_timeout + 1s < start_period + retries x interval":              open+time.Second < h.StartPeriod.Duration+time.Duration(h.Retries)*h.Interval.Duration,
		"update monitor sees the end of what hangs in the first 20s":         s.Deploy.Update.Monitor.Duration > 20*time.Second+s.end(),
		"rollback monitor does, too":                                         s.Deploy.Rollback.Monitor.Duration > 20*time.Second+s.end(),
		"drain and shutdown end within the grace period":                     s.setting(t, "HTTP_SHUTDOWN_TIMEOUT")+2*time.Second <= s.StopGrace.Duration,
		"no end to the attempts":                                             s.Deploy.Restart.MaxAttempts == 0,
	} {
		if !kept {
			t.Errorf("configs/stack.yml breaks its promise: %s", promise)
		}
	}
}

func TestComposeFileIsTheStackFileForOneMachine(t *testing.T) {
	stack, compose := service(t, "configs/stack.yml"), service(t, "configs/compose.yml")
	a, b := stack.Healthcheck, compose.Healthcheck
	for promise, kept := range map[string]bool{
		"the same image":         compose.Image == stack.Image,
		"the same user":          compose.User == stack.User,
		"the same volume":        slices.Equal(compose.Volumes, stack.Volumes),
		"the same grace period":  compose.StopGrace == stack.StopGrace && compose.setting(t, "HTTP_STOP_GRACE_PERIOD") == stack.StopGrace.Duration,
		"read only, no rights":   compose.ReadOnly && slices.Equal(compose.CapDrop, stack.CapDrop),
		"the same health check":  slices.Equal(a.Test, b.Test) && a.Interval == b.Interval && a.Timeout == b.Timeout && a.Retries == b.Retries && a.StartPeriod == b.StartPeriod,
		"starts again what ends": compose.Restart == "unless-stopped",
	} {
		if !kept {
			t.Errorf("configs/compose.yml breaks its promise: %s", promise)
		}
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
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	s := service(t, "tests/swarm/testdata/replicas.yml")
	drain, shutdown := s.setting(t, "HTTP_DRAIN_DELAY"), s.setting(t, "HTTP_SHUTDOWN_TIMEOUT")
	inter := value("inter")
	for promise, kept := range map[string]bool{
		"drain_delay > inter x fall + 1s":                      drain > inter*value("fall")+time.Second,
		"drain_delay + shutdown_timeout + 2s fit in the grace": drain+shutdown+2*time.Second <= s.StopGrace.Duration,
		"update delay > hold valid + resolve + inter":          s.Deploy.Update.Delay.Duration > value("hold valid")+value("timeout resolve")+inter,
		"hold obsolete > drain_delay + shutdown_timeout":       value("hold obsolete") > drain+shutdown,
		"timeout server > the longest answer":                  value("timeout server") > 30*time.Second,
		"room to replace all replicas at once":                 int(value("server-template task")) == 2*s.Deploy.Replicas,
		"update monitor is that of the stack":                  s.Deploy.Update.Monitor == service(t, "configs/stack.yml").Deploy.Update.Monitor,
		"one task after the other, the old one first":          s.Deploy.Update.Order == "stop-first" && s.Deploy.Update.Parallelism == 1,
		"the balancer asks /ready":                             regexp.MustCompile(`(?m)^ +option httpchk GET /ready\b`).MatchString(proxy),
	} {
		if !kept {
			t.Errorf("configs/haproxy.cfg and the replicas break their promise: %s", promise)
		}
	}
}

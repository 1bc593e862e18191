package swarm

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/config"
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
	for _, file := range []serviceFile{stack, compose} {
		if !strings.HasPrefix(file.Image, "${ACCOUNTS_IMAGE:") {
			t.Errorf("the image is %s, which ACCOUNTS_IMAGE does not name", file.Image)
		}
	}
	compose.Environment, compose.Deploy = stack.Environment, stack.Deploy // what only a Swarm needs
	compose.Image = stack.Image                                           // required, compose would refuse "ps" without it, too
	if !reflect.DeepEqual(compose, stack) {
		t.Errorf("configs/compose.yml has\n%+v, and configs/stack.yml\n%+v", compose, stack)
	}
}

func TestPostgresStackFileFitsTheServiceAndPostgreSQL(t *testing.T) {
	s, bolt := service(t, "configs/stack.postgres.yml"), service(t, "configs/stack.yml")
	loaded := s.load(t, nil, "ACCOUNTSERVICE_STORE_POSTGRES_URL=postgres://accounts:secret@pg1,pg2,pg3/accounts")
	const perServer = 100 - 3 // PostgreSQL's max_connections without superuser_reserved_connections
	tasks, hangs := s.Deploy.Replicas+s.Deploy.Update.Parallelism, early+s.unhealthy()+2*time.Second+s.StopGrace.Duration
	promises(t, "configs/stack.postgres.yml", map[string]bool{
		"the service is told its grace period":             loaded.HTTP.StopGracePeriod == s.StopGrace.Duration,
		"a new task serves before the old one is stopped":  s.Deploy.Update.Order == "start-first",
		"a rollback replaces tasks as an update does":      s.Deploy.Rollback == s.Deploy.Update,
		"all tasks of an update fit in max_connections":    tasks*loaded.Store.Postgres.MaxConns <= perServer,
		"update monitor sees the end of a task that hangs": s.Deploy.Update.Monitor.Duration > hangs,
		"requests for accounts need a token":               loaded.Auth.Mode == "tokens",
		"writes wait for a standby":                        loaded.Store.Postgres.RequireSync,
		"the probe is that of stack.yml":                   reflect.DeepEqual(s.Healthcheck, bolt.Healthcheck),
		"no right beyond the user's, as in stack.yml":      s.User == bolt.User && s.ReadOnly && reflect.DeepEqual(s.CapDrop, bolt.CapDrop),
		"no end to the attempts, as in stack.yml":          s.Deploy.Restart == bolt.Deploy.Restart,
		"no setting is without effect":                     len(loaded.Warnings) == 0,
	})
}

var (
	shellVariable = regexp.MustCompile(`\$\{(\w+):-([^}]*)\}`)
	swarmTemplate = strings.NewReplacer("{{.Service.Name}}", "accounts_accountservice", "{{.Node.Hostname}}", "node1")
)

// deployed is a value of a stack file when it is deployed with these variables of a shell.
func deployed(value string, shell map[string]string) string {
	return swarmTemplate.Replace(shellVariable.ReplaceAllStringFunc(value, func(text string) string {
		parts := shellVariable.FindStringSubmatch(text)
		return cmp.Or(shell[parts[1]], parts[2])
	}))
}

// load returns the settings of a service when it is deployed with these variables of a shell, and with more of its own.
func (s serviceFile) load(t *testing.T, shell map[string]string, environ ...string) config.Loaded {
	t.Helper()
	for name, value := range s.Environment {
		if !strings.HasSuffix(name, "_FILE") { // names a file that is not here
			environ = append(environ, name+"="+deployed(value, shell))
		}
	}
	loaded, err := config.Load("", environ)
	harness.Must(t, err)
	return loaded
}

// A sample that refused the names of its own service would break the first deployment.
func TestSamplesNameTheirServiceAndTakeMoreNames(t *testing.T) {
	for file, names := range map[string][]string{
		"configs/stack.yml":          {"accountservice", "accounts_accountservice", "node1"},
		"configs/stack.postgres.yml": {"accountservice", "accounts_accountservice", "haproxy"},
		"configs/compose.yml":        {"accountservice"},
	} {
		const url = "ACCOUNTSERVICE_STORE_POSTGRES_URL=postgres://pg/accounts"
		for shell, own := range map[string][]string{"": {"localhost"}, "a.example,B.example": {"a.example", "b.example"}} {
			got := service(t, file).load(t, map[string]string{"ACCOUNTS_HOSTS": shell}, url).HTTP.Hosts
			for _, name := range append(own, names...) {
				if !slices.Contains(got, name) {
					t.Errorf("%s with ACCOUNTS_HOSTS=%s lets %s be asked for, not %s", file, shell, got, name)
				}
			}
		}
	}
}

// Both stacks are those of tests under load; a user's must keep the same.
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
	for _, file := range []string{"tests/swarm/testdata/replicas.yml", "configs/stack.postgres.yml"} {
		s := service(t, file)
		drain, shutdown := s.setting(t, "HTTP_DRAIN_DELAY"), s.setting(t, "HTTP_SHUTDOWN_TIMEOUT")
		inter := value("inter")
		promises(t, "configs/haproxy.cfg with "+file, map[string]bool{
			"drain_delay > inter x fall + 1s":                      drain > inter*value("fall")+time.Second,
			"drain_delay + shutdown_timeout + 2s fit in the grace": drain+shutdown+2*time.Second <= s.StopGrace.Duration,
			"update delay > hold valid + resolve + inter":          s.Deploy.Update.Delay.Duration > value("hold valid")+value("timeout resolve")+inter,
			"hold obsolete > drain_delay + shutdown_timeout":       value("hold obsolete") > drain+shutdown,
			"timeout server > the longest answer":                  value("timeout server") > 30*time.Second,
			"room to replace all replicas at once":                 int(value("server-template task")) >= 2*s.Deploy.Replicas,
			"update monitor is that of the stack":                  s.Deploy.Update.Monitor == service(t, "configs/stack.yml").Deploy.Update.Monitor,
		})
	}
}

package swarm

import (
	"context"
	"encoding/json"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"accountservice/config"
)

// stackFile is the part of configs/stack.yml whose numbers depend on each other.
type stackFile struct {
	Version  string
	Services map[string]serviceFile
	Volumes  map[string]any
}

type serviceFile struct {
	Image       string
	User        string
	Restart     string
	Environment map[string]string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	StopGrace   duration `yaml:"stop_grace_period"`
	Volumes     []struct{ Type, Source, Target string }
	Ports       []portFile
	Healthcheck struct {
		Test        []string
		Interval    duration
		Timeout     duration
		StartPeriod duration `yaml:"start_period"`
		Retries     int
	}
	Deploy struct {
		Replicas int
		Restart  struct {
			Condition   string
			Delay       duration
			MaxAttempts int `yaml:"max_attempts"`
		} `yaml:"restart_policy"`
		Update   change `yaml:"update_config"`
		Rollback change `yaml:"rollback_config"`
	}
}

type change struct {
	Order         string
	FailureAction string `yaml:"failure_action"`
	Monitor       duration
	Delay         duration
	Parallelism   int
}

// portFile is a port in its long form; a Compose file may have the short one.
type portFile struct {
	Target          int
	Published, Mode string
}

func (p *portFile) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		return nil
	}
	type long portFile
	return node.Decode((*long)(p))
}

type duration struct{ time.Duration }

func (d *duration) UnmarshalText(text []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(text))
	return err
}

func TestStackFileKeepsItsPromises(t *testing.T) {
	var file stackFile
	if err := yaml.Unmarshal([]byte(read(t, "configs/stack.yml")), &file); err != nil {
		t.Fatal(err)
	}
	s, ok := file.Services["accountservice"]
	if !ok || len(file.Services) != 1 {
		t.Fatalf("services %v, want accountservice alone", file.Services)
	}
	if len(s.Ports) != 1 || len(s.Volumes) != 1 {
		t.Fatalf("ports %v and volumes %v, want one each", s.Ports, s.Volumes)
	}
	d, h, defaults := s.Deploy, s.Healthcheck, config.Default()

	for promise, kept := range map[string]bool{
		"no version line, which new engines warn about":               file.Version == "",
		"the image is a variable with a default":                      s.Image == "${ACCOUNTS_IMAGE:-accountservice:latest}",
		"one replica, for Bolt's file has one owner":                  d.Replicas == 1,
		"an update stops the old task first, which holds the lock":    d.Update.Order == "stop-first",
		"a rollback does, too":                                        d.Rollback.Order == "stop-first",
		"a failed update is rolled back":                              d.Update.FailureAction == "rollback",
		"restarts after any exit code":                                d.Restart.Condition == "any",
		"restarts after a delay":                                      d.Restart.Delay.Duration > 0,
		"the grace period is what the service reckons with":           s.StopGrace.Duration == defaults.HTTP.StopGracePeriod,
		"and says so, if told at all":                                 s.Environment["ACCOUNTSERVICE_HTTP_STOP_GRACE_PERIOD"] == s.StopGrace.String(),
		"grace period + 2s < 60s, where stop-first is no more":        s.StopGrace.Duration+2*time.Second < time.Minute,
		"the root is read only and there are no capabilities":         s.ReadOnly && slices.Equal(s.CapDrop, []string{"ALL"}),
		"one port, straight from the node, a variable with a default": s.Ports[0].Mode == "host" && s.Ports[0].Published == "${ACCOUNTS_PORT:-6767}",
		"to where the service listens":                                s.Ports[0].Target == defaults.HTTP.Port,
		"one volume with a name, declared below":                      s.Volumes[0].Type == "volume" && hasKey(file.Volumes, s.Volumes[0].Source),
	} {
		if !kept {
			t.Errorf("configs/stack.yml breaks its promise: %s", promise)
		}
	}

	image := dockerfile(t)
	wantLine := "--interval=" + h.Interval.String() + " --timeout=" + h.Timeout.String() +
		" --start-period=" + h.StartPeriod.String() + " --retries=" + strconv.Itoa(h.Retries) + " CMD "
	if got, found := strings.CutPrefix(image.last("HEALTHCHECK"), wantLine); !found || got != jsonList(h.Test[1:]) {
		t.Errorf("HEALTHCHECK %s, and in configs/stack.yml %s%q", image.last("HEALTHCHECK"), wantLine, h.Test)
	}
	if got := image.last("USER"); got != s.User {
		t.Errorf("USER %s, and in configs/stack.yml %s", got, s.User)
	}
	if got := path.Dir(image.environ()["ACCOUNTSERVICE_STORE_BOLT_PATH"]); got != s.Volumes[0].Target {
		t.Errorf("the image keeps its database in %s, and configs/stack.yml mounts its volume at %s", got, s.Volumes[0].Target)
	}
}

// The examples in comments, too: they are there to be uncommented.
func TestStackFileNamesRealSettings(t *testing.T) {
	text := read(t, "configs/stack.yml") + read(t, "configs/compose.yml")
	set := dockerfile(t).environ() // a file's variables go before the image's
	for _, line := range regexp.MustCompile(`(?m)^ +(?:# )?(ACCOUNTSERVICE_[A-Z_]+): (\S+)$`).FindAllStringSubmatch(text, -1) {
		if !strings.HasSuffix(line[1], "_FILE") { // names a file that is not here
			set[line[1]] = line[2]
		}
	}
	var environ []string
	for name, value := range set {
		environ = append(environ, name+"="+value)
	}
	if len(environ) < 5 {
		t.Fatalf("found only %q in configs/stack.yml", environ)
	}
	if _, err := config.Load("", environ); err != nil {
		t.Errorf("%q: %v", environ, err)
	}
}

func TestDockerfileKeepsItsPromises(t *testing.T) {
	image := dockerfile(t)
	final := image.final()
	if got := image.last("FROM"); got != "scratch" {
		t.Errorf("the final stage is FROM %s, want scratch", got)
	}
	for _, one := range []string{"HEALTHCHECK", "USER", "STOPSIGNAL", "EXPOSE", "ENTRYPOINT"} {
		if n := final.count(one); n != 1 {
			t.Errorf("%d lines %s in the final stage, want 1", n, one)
		}
	}
	for _, none := range []string{"RUN", "VOLUME", "CMD"} {
		if n := final.count(none); n != 0 {
			t.Errorf("%d lines %s in the final stage, want none", n, none)
		}
	}
	for _, exec := range []string{final.last("HEALTHCHECK"), final.last("ENTRYPOINT")} {
		var words []string
		if i := strings.IndexByte(exec, '['); i < 0 || json.Unmarshal([]byte(exec[i:]), &words) != nil || len(words) != 1 || !path.IsAbs(words[0]) {
			t.Errorf("%q is not exec form with one absolute path; there is no shell to find it", exec)
		}
	}
	if got := final.last("USER"); !regexp.MustCompile(`^\d+:\d+$`).MatchString(got) {
		t.Errorf("USER %s, want numbers: there is no passwd file", got)
	}
	if got := final.last("STOPSIGNAL"); got != "SIGTERM" {
		t.Errorf("STOPSIGNAL %s, want SIGTERM", got)
	}
	if got, want := final.last("EXPOSE"), strconv.Itoa(config.Default().HTTP.Port); got != want {
		t.Errorf("EXPOSE %s, want %s", got, want)
	}
	for _, unknown := range []string{"--mount", "--start-interval", "BUILDPLATFORM", "TARGETARCH", "# syntax"} {
		if strings.Contains(string(image.joined()), unknown) {
			t.Errorf("Dockerfile uses %s, which the classic builder does not know", unknown)
		}
	}
}

// Without this the image build would fail for a package that was added later.
func TestBuildContextHoldsWhatTheBinariesImport(t *testing.T) {
	out, err := command(t.Context(), nil, "go", "-C", root, "list", "-deps",
		"-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", "./cmd/accountservice", "./healthchecker")
	if err != nil {
		t.Fatal(err)
	}
	allowed := dockerContext(t)
	for _, pkg := range strings.Fields(out) {
		top, _, _ := strings.Cut(strings.TrimPrefix(pkg, "accountservice/"), "/")
		if !slices.Contains(allowed, top) {
			t.Errorf("the binaries import %s, and .dockerignore keeps %s out: add the line !%s", pkg, top, top)
		}
	}
}

func TestStackFilePassesDockerStackConfig(t *testing.T) {
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("needs the docker command (no engine)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := command(ctx, nil, docker, "stack", "config", "--compose-file", filepath.Join(root, "configs", "stack.yml")); err != nil {
		t.Error(err)
	}
}

// lines are a Dockerfile's instructions, continued lines joined, no comments.
type lines []string

func dockerfile(t *testing.T) lines {
	t.Helper()
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(read(t, "Dockerfile"), "")
	text = regexp.MustCompile(`\s*\\\n\s*`).ReplaceAllString(text, " ")
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

func (l lines) joined() string { return strings.Join(l, "\n") }

// final is the last stage, without its FROM.
func (l lines) final() lines {
	for i := len(l) - 1; i >= 0; i-- {
		if strings.HasPrefix(l[i], "FROM ") {
			return l[i+1:]
		}
	}
	return l
}

// last is what follows the last instruction of this name.
func (l lines) last(instruction string) string {
	for _, line := range slices.Backward(l) {
		if rest, ok := strings.CutPrefix(line, instruction+" "); ok {
			return rest
		}
	}
	return ""
}

// environ is what the one ENV instruction sets.
func (l lines) environ() map[string]string {
	set := map[string]string{}
	for _, pair := range strings.Fields(l.last("ENV")) {
		name, value, _ := strings.Cut(pair, "=")
		set[name] = value
	}
	return set
}

func (l lines) count(instruction string) (n int) {
	for _, line := range l {
		if strings.HasPrefix(line, instruction+" ") {
			n++
		}
	}
	return n
}

// dockerContext is what .dockerignore lets through.
func dockerContext(t *testing.T) []string {
	t.Helper()
	var allowed []string
	for line := range strings.Lines(read(t, ".dockerignore")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			allowed = append(allowed, name)
		}
	}
	return allowed
}

func jsonList(words []string) string {
	b, _ := json.Marshal(words) // strings always marshal
	return string(b)
}

func hasKey(m map[string]any, key string) bool {
	_, ok := m[key]
	return ok
}

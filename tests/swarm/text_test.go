package swarm

import (
	"encoding/json"
	"fmt"
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
	"accountservice/tests/harness"
)

// serviceFile is the part of a stack or compose file whose values depend on each other or on other files.
type serviceFile struct {
	Image       string
	User        string
	Environment map[string]string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	StopGrace   duration `yaml:"stop_grace_period"`
	Volumes     []struct{ Type, Source, Target string }
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
			MaxAttempts int `yaml:"max_attempts"`
		} `yaml:"restart_policy"`
		Update   change `yaml:"update_config"`
		Rollback change `yaml:"rollback_config"`
	}
}

type change struct {
	Parallelism int
	Order       string
	Monitor     duration
	Delay       duration
}

type duration struct{ time.Duration }

func (d *duration) UnmarshalText(text []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(text))
	return err
}

// service is the one that a stack or compose file is about.
func service(t *testing.T, path string) serviceFile {
	t.Helper()
	var file struct{ Services map[string]serviceFile }
	harness.Must(t, yaml.Unmarshal([]byte(read(t, path)), &file))
	s, ok := file.Services["accountservice"]
	if !ok {
		t.Fatalf("%s: services %v, want accountservice", path, file.Services)
	}
	return s
}

// defaults is the configuration of an empty environment.
func defaults(t *testing.T) config.Loaded {
	t.Helper()
	loaded, err := config.Load("", nil)
	harness.Must(t, err)
	return loaded
}

// promises fails for each one that is not kept.
func promises(t *testing.T, file string, kept map[string]bool) {
	t.Helper()
	for promise, kept := range kept {
		if !kept {
			t.Errorf("%s breaks its promise: %s", file, promise)
		}
	}
}

func TestStackFileAndDockerfileAgree(t *testing.T) {
	s, image := service(t, "configs/stack.yml"), dockerfile(t)
	h := s.Healthcheck
	command, _ := json.Marshal(h.Test[1:]) // strings always marshal
	want := fmt.Sprintf("--interval=%s --timeout=%s --start-period=%s --retries=%d CMD %s", h.Interval, h.Timeout,
		h.StartPeriod, h.Retries, command)
	if got := image.last("HEALTHCHECK"); got != want {
		t.Errorf("HEALTHCHECK %s, and in configs/stack.yml %s", got, want)
	}
	if got := image.last("USER"); got != s.User {
		t.Errorf("USER %s, and in configs/stack.yml %s", got, s.User)
	}
	if got := path.Dir(image.environ()["ACCOUNTSERVICE_STORE_BOLT_PATH"]); got != s.Volumes[0].Target {
		t.Errorf("the image keeps its database in %s, and configs/stack.yml mounts its volume at %s", got, s.Volumes[0].Target)
	}
	if got, want := image.environ()["ACCOUNTSERVICE_EXPOSED_PORT"], image.last("EXPOSE"); got != want {
		t.Errorf("the image says that it exposes %s, and EXPOSE %s", got, want)
	}
	if got, want := image.last("EXPOSE"), strconv.Itoa(defaults(t).HTTP.Port); got != want {
		t.Errorf("EXPOSE %s, and the service listens on %s", got, want)
	}
}

// The examples in comments, too: they are there to be uncommented.
func TestStackFileNamesRealSettings(t *testing.T) {
	text := read(t, "configs/stack.yml") + read(t, "configs/compose.yml")
	set := dockerfile(t).environ() // a file's variables go before the image's
	for _, line := range regexp.MustCompile(`(?m)^ +(?:# )?(ACCOUNTSERVICE_[A-Z_]+): "?(\S+?)"?$`).FindAllStringSubmatch(text, -1) {
		if !strings.HasSuffix(line[1], "_FILE") { // names a file that is not here
			set[line[1]] = deployed(line[2], nil)
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

// A variable that a stack file requires is in each command for it that the documents and the files themselves give.
func TestCommandsSetWhatTheirStackFilesRequire(t *testing.T) {
	command := regexp.MustCompile("(?m)^.*docker stack [a-z]+(?: -c [a-z./]+)+")
	required, named := regexp.MustCompile(`\$\{([A-Z_]+):\?`), regexp.MustCompile("-c ([a-z./]+)")
	found := 0
	for _, pattern := range []string{"README.md", "docs/*.md", "configs/*"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		harness.Must(t, err)
		for _, file := range files {
			for _, line := range command.FindAllString(harness.Read(t, file), -1) {
				for _, stack := range named.FindAllStringSubmatch(line, -1) {
					for _, variable := range required.FindAllStringSubmatch(read(t, stack[1]), -1) {
						found++
						if !strings.Contains(line, variable[1]+"=") {
							t.Errorf("%s: %q has no %s, which %s requires", file, line, variable[1], stack[1])
						}
					}
				}
			}
		}
	}
	if found == 0 {
		t.Error("no command was found")
	}
}

func TestDockerfileNeedsNoNewBuilder(t *testing.T) {
	text := strings.Join(dockerfile(t), "\n")
	for _, unknown := range []string{"--mount", "--start-interval", "BUILDPLATFORM", "TARGETARCH"} {
		if strings.Contains(text, unknown) {
			t.Errorf("Dockerfile uses %s, which the classic builder does not know", unknown)
		}
	}
}

// Without this the image build would fail for a package that was added later.
func TestBuildContextHoldsWhatTheBinariesImport(t *testing.T) {
	out, err := command(t.Context(), nil, "go", "-C", root, "list", "-deps",
		"-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", "./cmd/accountservice", "./healthchecker")
	harness.Must(t, err)
	allowed := dockerContext(t)
	for _, pkg := range strings.Fields(out) {
		top, _, _ := strings.Cut(strings.TrimPrefix(pkg, "accountservice/"), "/")
		if pkg == "accountservice" {
			top = "licenses.go"
		}
		if !slices.Contains(allowed, top) {
			t.Errorf("the binaries import %s, and .dockerignore keeps %s out: add the line !%s", pkg, top, top)
		}
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

// dockerContext is what .dockerignore lets through, without what version.sh reads of git: not every copy has that.
func dockerContext(t *testing.T) []string {
	t.Helper()
	var allowed []string
	for line := range strings.Lines(read(t, ".dockerignore")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok && !strings.HasPrefix(name, ".git") {
			allowed = append(allowed, name)
		}
	}
	return allowed
}

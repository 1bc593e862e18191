package swarm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// What the test image is told about itself, and must tell in turn.
const (
	builtVersion  = "0.0.0-test"
	builtRevision = "0123456789abcdef0123456789abcdef01234567"
	builtCreated  = "2001-02-03T04:05:06Z"
)

// image is what one build of the Dockerfile leaves in the engine.
type image struct {
	name string
	// stage is the build stage, kept by name: it is the layer cache for a second
	// build, and without a name it could not be removed.
	stage string
	// context is a copy of the tree, so that an edit during the test does no harm.
	context string
	// modules is a module proxy on loopback.
	modules *httptest.Server
	// base is the stand-in, if this run made it.
	base string
	// version is what it says of itself.
	version string
}

// built is made once for all tests of this package, by the first that asks.
var built struct {
	image *image
	err   error
}

// builtImage is the image of this very tree.
func builtImage(d docker) image {
	d.t.Helper()
	if name := os.Getenv("SWARM_TEST_IMAGE"); name != "" {
		return image{name: name, version: d.run("image", "inspect", "--format", `{{index .Config.Labels "org.opencontainers.image.version"}}`, name)}
	}
	if built.image == nil {
		built.image = &image{name: unique("image") + ":latest", stage: unique("stage") + ":latest", version: builtVersion}
		built.err = built.image.build(d)
	}
	if built.err != nil {
		d.t.Fatal(built.err)
	}
	return *built.image
}

func (i *image) build(d docker) error {
	if _, missing := d.try("image", "inspect", baseName(d.t)); missing != nil {
		i.base = baseName(d.t)
	}
	for _, words := range [][]string{{filepath.Join(root, ".ci", "base-image")}, {"go", "-C", root, "mod", "download"}} {
		if _, err := command(d.ctx, nil, words[0], words[1:]...); err != nil {
			return err
		}
	}
	goEnv, err := command(d.ctx, nil, "go", "env", "GOPROXY", "GOMODCACHE")
	if err != nil {
		return err
	}
	goproxy, cache, _ := strings.Cut(goEnv, "\n")
	// The module cache has the layout of a module proxy: so the build needs nothing that the tests did not need.
	i.modules = httptest.NewServer(http.FileServer(http.Dir(filepath.Join(cache, "cache", "download"))))
	if i.context, err = os.MkdirTemp("", "accountservice-context-"); err != nil {
		return err
	}
	for _, name := range append(dockerContext(d.t), ".dockerignore", "Dockerfile") {
		if err := copyTree(filepath.Join(root, name), filepath.Join(i.context, name)); err != nil {
			return err
		}
	}
	// The stage first, by name; the second build finds it in the cache.
	for _, target := range [][]string{{"--tag", i.stage, "--target", "build"}, {"--tag", i.name}} {
		args := append([]string{"build", "--network=host", "--force-rm",
			// "|": whatever the first one lacks, the machine's own gives
			"--build-arg", "GOPROXY=" + i.modules.URL + "|" + goproxy,
			"--build-arg", "VERSION=" + builtVersion,
			"--build-arg", "REVISION=" + builtRevision,
			"--build-arg", "CREATED=" + builtCreated,
		}, target...)
		if _, err := d.try(append(args, i.context)...); err != nil {
			return err
		}
	}
	return nil
}

// removeBuiltImage takes away what builtImage made, after all tests.
func removeBuiltImage() error {
	i := built.image
	if i == nil {
		return nil
	}
	if i.modules != nil {
		i.modules.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	errs := []error{os.RemoveAll(i.context), removeImage(ctx, i.name), removeImage(ctx, i.stage)}
	if i.base != "" {
		errs = append(errs, removeImage(ctx, i.base))
	}
	return errors.Join(errs...)
}

func removeImage(ctx context.Context, name string) error {
	_, err := command(ctx, nil, "docker", "image", "rm", name)
	if err != nil && strings.Contains(err.Error(), "No such image") {
		return nil
	}
	return err
}

// baseName is the image that the Dockerfile builds from.
func baseName(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^ARG GO_IMAGE=(\S+)$`).FindStringSubmatch(read(t, "Dockerfile"))
	if found == nil {
		t.Fatal("Dockerfile: no line ARG GO_IMAGE=...")
	}
	return found[1]
}

// volume makes one that goes with the test.
func (d docker) volume(name string) {
	d.t.Helper()
	d.undo("volume", "rm", "--force", name)
	d.run("volume", "create", name)
}

// start runs the image as the stack file does, with /data in volume, and
// returns its address. The container goes with the test.
func (d docker) start(image, name, volume string, more ...string) (url string) {
	d.t.Helper()
	d.undo("rm", "--force", "--volumes", name)
	d.run(slices.Concat([]string{"run", "--detach", "--name", name, "--read-only", "--cap-drop", "ALL",
		"--security-opt", "no-new-privileges", "--publish", "127.0.0.1::6767",
		"--volume", volume + ":/data"}, more, []string{image})...)
	return "http://" + d.run("port", name, "6767/tcp")
}

// stop ends a container as Swarm would and returns its exit code.
func (d docker) stop(name string) int {
	d.t.Helper()
	d.run("stop", "--time", "30", name)
	return d.container(name).State.ExitCode
}

// container is the part of docker inspect that the tests look at.
type container struct {
	Config     struct{ User string }
	HostConfig struct{ ReadonlyRootfs bool }
	State      struct {
		Status     string
		ExitCode   int
		Pid        int
		StartedAt  time.Time
		FinishedAt time.Time
		Health     struct {
			Status        string
			FailingStreak int
			Log           []struct {
				ExitCode int
				Output   string
			}
		}
	}
}

func (c container) String() string {
	return fmt.Sprintf("%s, exit code %d, %s, probes %+v", c.State.Status, c.State.ExitCode, c.State.Health.Status, c.State.Health.Log)
}

func (d docker) container(name string) (c container) {
	d.t.Helper()
	harness.Must(d.t, d.inspect(&c, "container", name))
	return c
}

// healthy asks the engine, not the service, whether a container is well.
func (d docker) healthy(name string) (bool, string) {
	var c container
	if err := d.inspect(&c, "container", name); err != nil {
		return false, err.Error()
	}
	return c.State.Status == "running" && c.State.Health.Status == "healthy", c.String()
}

// copyTree copies a file, or a directory with all in it.
func copyTree(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, info.Mode())
}

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	return harness.Read(t, filepath.Join(root, path))
}

package swarm

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

var binaries = []string{"accountservice", "healthchecker"}

func TestImageSaysWhatItIs(t *testing.T) {
	d := needDocker(t)
	var got struct {
		Config struct {
			User, WorkingDir, StopSignal string
			Env, Entrypoint              []string
			ExposedPorts, Volumes        map[string]struct{}
			Labels                       map[string]string
			Healthcheck                  struct {
				Test                           []string
				Interval, Timeout, StartPeriod time.Duration
				Retries                        int
			}
		}
	}
	harness.Must(t, d.inspect(&got, "image", builtImage(d).name))
	c := got.Config
	if c.User != "65532:65532" {
		t.Errorf("user %q, want the number 65532:65532", c.User)
	}
	if c.StopSignal != "SIGTERM" {
		t.Errorf("stop signal %q, want SIGTERM", c.StopSignal)
	}
	if want := []string{"/accountservice"}; !slices.Equal(c.Entrypoint, want) {
		t.Errorf("entrypoint %q, want %q", c.Entrypoint, want)
	}
	if want := []string{"CMD", "/healthchecker"}; !slices.Equal(c.Healthcheck.Test, want) {
		t.Errorf("health check %q, want %q", c.Healthcheck.Test, want)
	}
	h, want := c.Healthcheck, service(t, "configs/stack.yml").Healthcheck
	if h.Interval != want.Interval.Duration || h.Timeout != want.Timeout.Duration || h.Retries != want.Retries {
		t.Errorf("health check %+v, and that of configs/stack.yml is %+v", h, want)
	}
	if !slices.Contains(c.Env, "ACCOUNTSERVICE_STORE_BOLT_PATH=/data/accounts.db") {
		t.Errorf("environment %q does not put the database into /data", c.Env)
	}
	if _, ok := c.ExposedPorts["6767/tcp"]; !ok || len(c.ExposedPorts) != 1 {
		t.Errorf("exposed ports %v, want 6767/tcp alone", c.ExposedPorts)
	}
	if len(c.Volumes) != 0 {
		t.Errorf("volumes %v, want none: an anonymous volume dies with its task", c.Volumes)
	}
	for label, want := range map[string]string{
		"title": "accountservice", "version": builtVersion, "revision": builtRevision, "created": builtCreated,
	} {
		if got := c.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label org.opencontainers.image.%s is %q, want %q", label, got, want)
		}
	}
}

func TestImageHoldsTwoBinariesAndTheRootsOnly(t *testing.T) {
	d := needDocker(t)
	name := unique("files")
	d.createOnly(name, builtImage(d).name)
	archive := filepath.Join(t.TempDir(), "files.tar")
	d.run("export", "--output", archive, name)

	f, err := os.Open(archive)
	harness.Must(t, err)
	defer f.Close()
	var files []string
	owner := -1
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		harness.Must(t, err)
		if strings.Trim(h.Name, "/") == "data" {
			owner = h.Uid
		}
		if h.Typeflag != tar.TypeDir && !madeByEngine(h.Name) {
			files = append(files, h.Name)
		}
	}
	slices.Sort(files)
	if want := []string{"accountservice", "etc/ssl/certs/ca-certificates.crt", "healthchecker"}; !slices.Equal(files, want) {
		t.Errorf("files %q, want %q: no shell, nothing else", files, want)
	}
	if owner != 65532 {
		t.Errorf("/data belongs to %d, want 65532: a new volume takes over its owner", owner)
	}
}

// madeByEngine are the files that an engine puts into every container.
func madeByEngine(name string) bool {
	for _, own := range []string{".dockerenv", "dev/", "proc/", "sys/", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/mtab"} {
		if strings.HasPrefix(name, own) {
			return true
		}
	}
	return false
}

// sameBinaries builds them again on this machine: in another directory, with other
// file times and another build cache, by the same release of Go.
func sameBinaries(d docker, i image) {
	if i.context == "" {
		d.t.Skip("the image is not built from this tree")
	}
	inImage := d.binariesOf(i.name, "/")
	copied, out := d.t.TempDir(), d.t.TempDir()
	harness.Must(d.t, copyTree(i.context, copied))
	makeOld(d.t, copied)
	_, err := command(d.ctx, []string{"CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off"}, "go", "-C", copied, "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+i.version, "-o", out+"/", "./cmd/accountservice", "./healthchecker")
	harness.Must(d.t, err)
	for _, name := range binaries {
		elsewhere, err := os.ReadFile(filepath.Join(out, name))
		harness.Must(d.t, err)
		if !bytes.Equal(inImage[name], elsewhere) {
			d.t.Errorf("%s: sha256 %x, built elsewhere %x", name, sha256.Sum256(inImage[name]), sha256.Sum256(elsewhere))
		}
		staticAndTrimmed(d.t, name, inImage[name])
		measured(d.t, name+" of the image, and built again in another place: the same", fmt.Sprintf("all %d bytes", len(elsewhere)))
	}
}

func staticAndTrimmed(t *testing.T, name string, binary []byte) {
	t.Helper()
	program, err := elf.NewFile(bytes.NewReader(binary))
	harness.Must(t, err)
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is linked dynamically (%v)", name, part.Type)
		}
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	harness.Must(t, err)
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if settings["-trimpath"] != "true" || settings["CGO_ENABLED"] != "0" || settings["vcs"] != "" {
		t.Errorf("%s: build settings %v, want -trimpath, CGO_ENABLED=0 and no vcs", name, settings)
	}
}

func TestImageServesReadOnlyWithoutAnyRight(t *testing.T) {
	d := needDocker(t)
	i := builtImage(d)
	name, volume := unique("run"), unique("run")
	d.step("a container is healthy", func() {
		d.volume(volume)
		url := d.start(i.name, name, volume)
		d.eventually(30*time.Second, name+" healthy", func() (bool, string) { return d.healthy(name) })
		d.wantAccount(url, "10000", "Person_0")
	})
	if code := d.stop(name); code != 0 {
		t.Errorf("stopped while healthy: exit code %d, want 0\n%s", code, d.logs("logs", name))
	}
}

func TestHeapIsBoundedByTheContainersMemory(t *testing.T) {
	d := needDocker(t)
	i := builtImage(d)
	for flag, want := range map[string]string{
		"--memory=128m":             "120795955 bytes (nine tenths of the container's limit)",
		"--env=GOMEMLIMIT=52428800": "52428800 bytes (from GOMEMLIMIT)",
	} {
		if out := d.run("run", "--rm", flag, i.name, "config", "print"); !strings.Contains(out, want) {
			t.Errorf("config print with %s says %.200q, want %q", flag, out, want)
		}
	}
}

// createOnly makes a container that never runs, to look into an image.
func (d docker) createOnly(name, image string) {
	d.t.Helper()
	d.later("container "+name, func(d docker) error {
		_, err := d.try("rm", "--force", name)
		return err
	})
	d.run("create", "--name", name, image, "never-run")
}

// binariesOf returns the two programs in a directory of an image.
func (d docker) binariesOf(image, dir string) map[string][]byte {
	d.t.Helper()
	name, out := unique("look"), d.t.TempDir()
	d.createOnly(name, image)
	content := map[string][]byte{}
	for _, binary := range binaries {
		d.run("cp", name+":"+dir+binary, out)
		b, err := os.ReadFile(filepath.Join(out, binary))
		harness.Must(d.t, err)
		content[binary] = b
	}
	return content
}

// makeOld gives all files in a directory an old date.
func makeOld(t *testing.T, dir string) {
	t.Helper()
	old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, old, old))
	})
	harness.Must(t, err)
}

package swarm

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

func TestImageSaysWhatItIs(t *testing.T) {
	d := needDocker(t)
	var got struct {
		Config struct {
			Volumes map[string]struct{}
			Labels  map[string]string
		}
	}
	harness.Must(t, d.inspect(&got, "image", builtImage(d).name))
	if len(got.Config.Volumes) != 0 {
		t.Errorf("volumes %v, want none: an anonymous volume dies with its task", got.Config.Volumes)
	}
	for label, want := range map[string]string{
		"title": "accountservice", "version": builtVersion, "revision": builtRevision, "created": builtCreated,
	} {
		if got := got.Config.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label org.opencontainers.image.%s is %q, want %q", label, got, want)
		}
	}
}

func TestImageHoldsTwoBinariesRootsAndLicencesOnly(t *testing.T) {
	d := needDocker(t)
	content, owner := d.filesOf(builtImage(d).name)
	files := slices.DeleteFunc(slices.Sorted(maps.Keys(content)), madeByEngine)
	if want := []string{"accountservice", "etc/ssl/certs/ca-certificates.crt", "healthchecker", "licenses/LICENSE",
		"licenses/THIRD_PARTY"}; !slices.Equal(files, want) {
		t.Errorf("files %q, want %q: no shell, nothing else", files, want)
	}
	if owner != imageUser {
		t.Errorf("/data belongs to %d, want %d: a new volume takes over its owner", owner, imageUser)
	}
}

// filesOf returns the files of an image, and who owns /data.
func (d docker) filesOf(image string) (content map[string][]byte, owner int) {
	d.t.Helper()
	name, archive := unique("files"), filepath.Join(d.t.TempDir(), "files.tar")
	d.undo("rm", "--force", name)
	d.run("create", "--name", name, image, "never-run")
	d.run("export", "--output", archive, name)
	f, err := os.Open(archive)
	harness.Must(d.t, err)
	defer f.Close()
	content, owner = map[string][]byte{}, -1
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return content, owner
		}
		harness.Must(d.t, err)
		if strings.Trim(h.Name, "/") == "data" {
			owner = h.Uid
		}
		if h.Typeflag != tar.TypeDir {
			content[h.Name], err = io.ReadAll(r)
			harness.Must(d.t, err)
		}
	}
}

// madeByEngine are the files that an engine puts into every container.
func madeByEngine(name string) bool {
	own := []string{".dockerenv", "dev/", "proc/", "sys/", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/mtab"}
	return slices.ContainsFunc(own, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// sameBinaries builds them again by make on this machine, with the same release of Go: in another directory, with other
// file times and another build cache.
func sameBinaries(d docker, i image) {
	if i.context == "" {
		d.t.Skip("the image is not built from this tree")
	}
	inImage, _ := d.filesOf(i.name)
	copied, out := d.t.TempDir(), d.t.TempDir()
	harness.Must(d.t, copyTree(i.context, copied))
	makefile, err := filepath.Abs(filepath.Join(root, "Makefile"))
	harness.Must(d.t, err)
	_, err = command(d.ctx, []string{"GOFLAGS=", "GOWORK=off"}, "make", "-C", copied, "-f", makefile, "build",
		"BIN="+out, "VERSION="+i.version)
	harness.Must(d.t, err)
	for _, name := range []string{"accountservice", "healthchecker"} {
		elsewhere, err := os.ReadFile(filepath.Join(out, name))
		harness.Must(d.t, err)
		if !bytes.Equal(inImage[name], elsewhere) {
			d.t.Errorf("%s: sha256 %x, built elsewhere %x", name, sha256.Sum256(inImage[name]), sha256.Sum256(elsewhere))
		}
		what := name + " of the image, and built again in another place: the same"
		measured(d.t, what, fmt.Sprintf("all %d bytes", len(elsewhere)))
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

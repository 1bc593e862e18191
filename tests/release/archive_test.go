package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// standInForGo makes empty programs where go build does, and an SBOM that is empty where cyclonedx-gomod does.
const standInForGo = `#!/bin/sh
case $1 in
install)
	echo '#!/bin/sh
	while [ "$1" != -output ]; do shift; done; echo {} >"$2"' >"$GOBIN/cyclonedx-gomod"
	chmod +x "$GOBIN/cyclonedx-gomod" ;;
build)
	while [ "$1" != -o ]; do shift; done
	folder=$2; shift 2
	for program; do echo "$GOOS $GOARCH" >"$folder/${program##*/}"; done ;;
esac
`

var linkToFile = regexp.MustCompile(`\]\(([^)#:]+)[^):]*\)`)

func TestArchiveHasAllThatItsDocumentsAndConfigsName(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), "tar", "--version").Output(); err != nil || !strings.Contains(string(out), "GNU tar") {
		t.Skip("needs GNU tar")
	}
	bin, dist := t.TempDir(), filepath.Join(t.TempDir(), "dist")
	harness.Must(t, os.WriteFile(filepath.Join(bin, "go"), []byte(standInForGo), 0o755))
	run := func(folder, name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = folder, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		harness.Output(t, cmd)
	}
	run("../..", "sh", "release.sh", "1.0.0", "", dist)
	run(dist, "sha256sum", "--check", "--strict", "SHA256SUMS")
	for _, system := range []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"} {
		name := "accountservice_1.0.0_" + system
		run(dist, "tar", "-xzf", name+".tar.gz")
		for _, program := range []string{"accountservice", "healthchecker"} {
			if got := harness.Read(t, filepath.Join(dist, name, program)); got != strings.Replace(system, "_", " ", 1)+"\n" {
				t.Errorf("%s in the archive for %s is of %q", program, system, got)
			}
		}
	}
	archive := filepath.Join(dist, "accountservice_1.0.0_linux_amd64")
	documents, err := filepath.Glob(filepath.Join(archive, "docs", "*.md"))
	harness.Must(t, err)
	others, err := filepath.Glob(filepath.Join(archive, "*.md"))
	harness.Must(t, err)
	for _, document := range append(documents, others...) {
		for _, link := range linkToFile.FindAllStringSubmatch(harness.Read(t, document), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), link[1])); err != nil {
				t.Errorf("%s names what the archive does not have: %v", filepath.Base(document), err)
			}
		}
	}
	configs := func(folder string) []string {
		files, err := filepath.Glob(filepath.Join(folder, "configs", "*"))
		harness.Must(t, err)
		files = slices.DeleteFunc(files, func(file string) bool { return filepath.Ext(file) == ".go" })
		for i, file := range files {
			files[i] = filepath.Base(file)
		}
		return files
	}
	if got, want := configs(archive), configs("../.."); !slices.Equal(got, want) {
		t.Errorf("configs of the archive: %q, want %q", got, want)
	}
}

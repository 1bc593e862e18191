// Package release holds what is shipped beside the code, licences and version, to the code.
package release

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"accountservice"
	"accountservice/tests/harness"
)

const file = "../../THIRD_PARTY"

// kinds are the licences that the programs may contain, each with words that no other one has.
var kinds = []struct{ name, words string }{
	{"Apache-2.0", "Apache License Version 2.0, January 2004"},
	{"MPL-2.0", "Mozilla Public License"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"BSD-3-Clause", "may be used to endorse or promote products"},
	{"BSD-2-Clause", "Redistributions in binary form must reproduce the above copyright notice"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose"},
}

// legal matches the names of files with a licence, or with what a licence wants repeated.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)[^/]*$`)

// part is software of others in the programs: a module, or a folder of one that has a licence of its own.
type part struct{ name, version, folder string }

// linked returns the parts of both programs on the systems that make release builds for, in the order of their names.
func linked(t *testing.T) []part {
	t.Helper()
	type listed struct {
		Dir    string
		Module *struct {
			Path, Version, Dir string
			Main               bool
		}
	}
	parts := map[string]part{"std": {"the Go standard library and runtime", "", goroot(t)}}
	for _, system := range []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"} {
		goos, arch, _ := strings.Cut(system, "/")
		for _, p := range harness.GoList[listed](t, []string{"GOOS=" + goos, "GOARCH=" + arch, "CGO_ENABLED=0", "GOFLAGS="},
			"-tags=nomsgpack", "-deps", "-json=Dir,Module", "./cmd/accountservice", "./healthchecker") {
			if p.Module == nil || p.Module.Main {
				continue
			}
			parts[p.Module.Path] = part{p.Module.Path, p.Module.Version, p.Module.Dir}
			for folder := p.Dir; folder != p.Module.Dir; folder = filepath.Dir(folder) {
				if len(texts(t, folder)) > 0 {
					name := p.Module.Path + strings.TrimPrefix(folder, p.Module.Dir)
					parts[name] = part{name, p.Module.Version, folder}
				}
			}
		}
	}
	return slices.SortedFunc(maps.Values(parts), func(a, b part) int { return cmp.Compare(a.name, b.name) })
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	harness.Must(t, err)
	return strings.TrimSpace(string(out))
}

// texts returns the legal files of a folder.
func texts(t *testing.T, folder string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	harness.Must(t, err)
	for _, entry := range entries {
		if entry.Type().IsRegular() && legal.MatchString(entry.Name()) && filepath.Ext(entry.Name()) != ".go" {
			text := harness.Read(t, filepath.Join(folder, entry.Name()))
			all = append(all, strings.ReplaceAll(strings.TrimSpace(text), "\r\n", "\n"))
		}
	}
	return all
}

// kind returns the name of a licence, or "" if it is none that the programs may contain.
func kind(text string) string {
	words := strings.Join(strings.Fields(text), " ")
	for _, k := range kinds {
		if strings.Contains(words, k.words) {
			return k.name
		}
	}
	return ""
}

// notices returns what THIRD_PARTY has to say: the list of the parts, then each text once with those that it is of.
func notices(t *testing.T, parts []part) string {
	t.Helper()
	var list, bodies strings.Builder
	var order []string
	of := make(map[string][]string)
	for _, p := range parts {
		var licence []string
		for _, text := range texts(t, p.folder) {
			if k := kind(text); k != "" {
				licence = append(licence, k)
			}
			if of[text] == nil {
				order = append(order, text)
			}
			of[text] = append(of[text], p.name)
		}
		if len(licence) == 0 {
			t.Errorf("%s has no licence that the programs may contain: read it, and add its kind or leave the module out", p.name)
		}
		fmt.Fprintf(&list, "%s: %s\n", strings.TrimSpace(p.name+" "+p.version), strings.Join(licence, ", "))
	}
	for _, text := range order {
		fmt.Fprintf(&bodies, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(of[text], "\n"), text)
	}
	swagger := harness.Read(t, "testdata/swagger-ui.txt")
	return "The programs accountservice and healthchecker contain this software of others. Its licences follow.\n\n" +
		list.String() + "\n" + swagger + bodies.String()
}

func TestThirdPartyIsWhatIsLinked(t *testing.T) {
	parts := linked(t)
	if len(parts) < 50 {
		t.Fatalf("only %d parts are linked", len(parts))
	}
	want := notices(t, parts)
	got, err := os.ReadFile(file)
	var shown bytes.Buffer
	harness.Must(t, accountservice.WriteThirdParty(&shown))
	if string(got) == want && shown.String() == want {
		return
	}
	if !*harness.Update {
		t.Fatalf("THIRD_PARTY or THIRD_PARTY.gz is not what the programs link (%v): run make licenses and read the difference", err)
	}
	harness.Must(t, os.WriteFile(file, []byte(want), 0o644))
	var small bytes.Buffer
	to, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	harness.Must(t, err)
	_, err = io.WriteString(to, want)
	harness.Must(t, errors.Join(err, to.Close(), os.WriteFile(file+".gz", small.Bytes(), 0o644)))
}

// The page of /docs is of another module than its version says: what it is made of is written down by hand.
func TestSwaggerUIIsTheOneThatIsDescribed(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/swaggest/swgui").Output()
	harness.Must(t, err)
	text := harness.Read(t, "testdata/swagger-ui.txt")
	if version := strings.TrimSpace(string(out)); !strings.Contains(text, "swgui "+version) {
		t.Errorf("testdata/swagger-ui.txt is not of swgui %s: look which Swagger UI that has, and which licences its bundle names", version)
	}
}

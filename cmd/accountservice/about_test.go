package main

import (
	"runtime/debug"
	"testing"
)

func TestVersionIsTheLinkersOrTheModules(t *testing.T) {
	build := func(version string, known bool) func() (*debug.BuildInfo, bool) {
		return func() (*debug.BuildInfo, bool) {
			return &debug.BuildInfo{Main: debug.Module{Version: version}}, known
		}
	}
	for _, c := range []struct {
		stamped string
		build   func() (*debug.BuildInfo, bool)
		want    string
	}{
		{"1.2.3", build("v9.9.9", true), "1.2.3"},
		{"", build("v1.2.3+dirty", true), "v1.2.3+dirty"}, // of go install and go build
		{"", build("(devel)", true), "dev"},               // of go run and -buildvcs=false
		{"", build("", true), "dev"},
		{"", build("v1.2.3", false), "dev"},
	} {
		if got := versionOf(c.stamped, c.build); got != c.want {
			t.Errorf("versionOf(%q) = %q, want %q", c.stamped, got, c.want)
		}
	}
}

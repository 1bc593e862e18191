package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// report is the part of /health that decides; health-go's own JSON is one
// without checks.
type report struct {
	Status    string            `json:"status"`
	Failures  map[string]string `json:"failures"`
	Component struct {
		Name string `json:"name"`
	} `json:"component"`
	Checks map[string]struct {
		Status    string `json:"status"`
		OnFailure string `json:"on_failure"`
		Error     string `json:"error"`
	} `json:"checks"`
}

// judge is nil for a healthy answer and else says what is wrong. With a
// component, the answer must be that component's report; without, 2xx will do.
func judge(got answer, component string, hidden secrets) error {
	status := fmt.Sprintf("%d %s", got.code, http.StatusText(got.code))
	good := got.code >= 200 && got.code < 300

	if got.code >= 300 && got.code < 400 {
		return fmt.Errorf("%s answers %s, a redirect%s: not followed", got.from, status, hidden.destination(got.location))
	}
	if good && component == "" {
		return nil
	}

	var said report
	notJSON := json.Unmarshal(got.body, &said)
	name := hidden.short(said.Component.Name, 64)
	switch {
	case good && notJSON != nil:
		return fmt.Errorf("%s answers %s, but not with %s's health JSON", got.from, status, component)
	case good && name == "":
		return fmt.Errorf("%s answers %s, but its JSON names no component, so it is not %s", got.from, status, component)
	case notJSON == nil && component != "" && name != "" && said.Component.Name != component:
		return fmt.Errorf("answer is from %q, not %s", name, component)
	case good && (said.Status == "OK" || said.Status == "Partially Available"):
		return nil
	}

	if failing := said.failing(hidden); notJSON == nil && failing != "" {
		return fmt.Errorf("%s: %s", cmp.Or(hidden.short(said.Status, 64), status), failing)
	}
	if good {
		return fmt.Errorf("%s answers %s, but its status is %q", got.from, status, hidden.short(said.Status, 64))
	}
	return fmt.Errorf("%s answers %s%s", got.from, status, hidden.detail(got.body))
}

// failing lists the checks that are not well, first those that turned the
// report red, each with its text; long texts are cut so that all names fit.
func (r report) failing(hidden secrets) string {
	type check struct{ name, onFailure, text string }
	found := map[string]check{}
	for name, c := range r.Checks {
		if text, failed := r.Failures[name]; failed || c.Status != "ok" && c.Status != "starting" { // one that starts and fails is in Failures
			found[name] = check{hidden.short(name, 64), hidden.short(c.OnFailure, 16), cmp.Or(text, c.Error, c.Status, "failing")}
		}
	}
	for name, text := range r.Failures {
		if _, known := found[name]; !known {
			found[name] = check{hidden.short(name, 64), "", cmp.Or(text, "failing")}
		}
	}
	red := func(c check) int {
		if c.onFailure == "restart" {
			return 0
		}
		return 1
	}
	checks := slices.SortedFunc(maps.Values(found), func(a, b check) int {
		return cmp.Or(cmp.Compare(red(a), red(b)), cmp.Compare(a.name, b.name))
	})

	list := func(longest int) string {
		var parts []string
		for _, c := range checks {
			consequence := ""
			if c.onFailure != "" {
				consequence = " (" + c.onFailure + ")"
			}
			parts = append(parts, c.name+consequence+": "+hidden.short(c.text, longest))
		}
		return strings.Join(parts, "; ")
	}
	const room = maxLine - 80 // the status before it, and a margin
	whole := list(maxLine)
	if len(whole) <= room || len(checks) == 0 {
		return whole
	}
	return list(max(16, (room-len(list(0)))/len(checks)))
}

// destination is where a redirect points, without what may be secret in it.
func (s secrets) destination(location string) string {
	u, err := url.Parse(location)
	if err != nil || location == "" {
		return ""
	}
	return " to " + s.short((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(), 256)
}

// detail is the reason in a problem details body, if it is one.
func (s secrets) detail(body []byte) string {
	var problem struct{ Title, Detail string }
	if err := json.Unmarshal(body, &problem); err != nil {
		return ""
	}
	if text := s.short(cmp.Or(problem.Detail, problem.Title), 512); text != "" {
		return ": " + text
	}
	return ""
}

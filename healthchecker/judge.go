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

// report is the part of /health that judge reads. health-go's own JSON has the same
// form, without checks.
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

// judge returns nil for a healthy answer, else an error that says what is wrong.
// With a component, the answer must be the report of that component; without,
// any 2xx is healthy.
func judge(got answer, component string, hidden secrets) error {
	status := fmt.Sprintf("%d %s", got.code, http.StatusText(got.code))
	good := got.code >= 200 && got.code < 300

	if got.code >= 300 && got.code < 400 {
		to := hidden.destination(got.location)
		return fmt.Errorf("%s answers %s, a redirect%s: not followed", got.from, status, to)
	}
	if good && component == "" {
		return nil
	}

	var reported report
	notJSON := json.Unmarshal(got.body, &reported)
	name := hidden.short(reported.Component.Name, 64)
	switch {
	case good && notJSON != nil:
		return fmt.Errorf("%s answers %s, but not with %s's health JSON", got.from, status, component)
	case good && name == "":
		return fmt.Errorf("%s answers %s, but its JSON names no component, so it is not %s",
			got.from, status, component)
	case notJSON == nil && component != "" && name != "" && reported.Component.Name != component:
		return fmt.Errorf("answer is from %q, not %s", name, component)
	case good && (reported.Status == "OK" || reported.Status == "Partially Available"):
		return nil
	}

	if failing := reported.failing(hidden); notJSON == nil && failing != "" {
		return fmt.Errorf("%s: %s", cmp.Or(hidden.short(reported.Status, 64), status), failing)
	}
	if good {
		return fmt.Errorf("%s answers %s, but its status is %q", got.from, status, hidden.short(reported.Status, 64))
	}
	return fmt.Errorf("%s answers %s%s", got.from, status, hidden.detail(got.body))
}

// failing lists the failing checks with their texts, those that restart first. Long
// texts are cut so that all names fit.
func (r report) failing(hidden secrets) string {
	type check struct{ name, onFailure, text string }
	found := map[string]check{}
	for name, c := range r.Checks {
		// a check that is starting and fails is in Failures
		if text, failed := r.Failures[name]; failed || c.Status != "ok" && c.Status != "starting" {
			text = cmp.Or(text, c.Error, c.Status, "failing")
			found[name] = check{hidden.short(name, 64), hidden.short(c.OnFailure, 16), text}
		}
	}
	for name, text := range r.Failures {
		if _, known := found[name]; !known {
			found[name] = check{hidden.short(name, 64), "", cmp.Or(text, "failing")}
		}
	}
	order := func(c check) int {
		if c.onFailure == "restart" {
			return 0
		}
		return 1
	}
	checks := slices.SortedFunc(maps.Values(found), func(a, b check) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a.name, b.name))
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

// destination returns where a redirect points, without user and query.
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

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// report is the part of /health that judge reads. health-go's own JSON has the same form, without checks.
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

// judge returns nil for a healthy answer, else an error that says what is wrong. A healthy answer has a wanted code,
// the expected body and, with a component, is the report of that component.
func (c *command) judge(got answer) error {
	component, hidden := c.component, c.hidden
	status := hidden.short(fmt.Sprint(got.code, " ", got.reason), 64)
	good := c.wanted(got.code)

	if !good && got.code >= 300 && got.code < 400 {
		return fmt.Errorf("%s answers %s: redirects are not followed", got.from, status)
	}
	if good {
		if err := c.expected(got.body); err != nil {
			return fmt.Errorf("%s answers %s: %w", got.from, status, err)
		}
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

// failing lists the failing checks with their texts, those that restart first. Each
// has the same room on the line, so that all names fit.
func (r report) failing(hidden secrets) string {
	type check struct{ text, onFailure string }
	found := map[string]check{}
	for name, c := range r.Checks {
		// a check that is starting and fails is in Failures
		if text, failed := r.Failures[name]; failed || c.Status != "ok" && c.Status != "starting" {
			found[name] = check{cmp.Or(text, c.Error, c.Status, "failing"), c.OnFailure}
		}
	}
	for name, text := range r.Failures {
		if _, known := found[name]; !known {
			found[name] = check{text: cmp.Or(text, "failing")}
		}
	}
	order := func(name string) int {
		if found[name].onFailure == "restart" {
			return 0
		}
		return 1
	}
	names := slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a, b))
	})
	const room = maxLine - 80 // the status before it, and a margin
	var parts []string
	for _, name := range names {
		title, c := hidden.short(name, 64), found[name]
		if c.onFailure != "" {
			title += " (" + hidden.short(c.onFailure, 16) + ")"
		}
		parts = append(parts, hidden.short(title+": "+c.text, room/len(names)-len("; ")))
	}
	return strings.Join(parts, "; ")
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

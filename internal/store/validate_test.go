package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"accountservice/internal/store"
	"accountservice/tests/harness"
)

func labels(n int) map[string]string {
	m := make(map[string]string)
	for i := range n {
		m[fmt.Sprint("k", i)] = "v"
	}
	return m
}

func TestDraftsAreHeldToTheirLimits(t *testing.T) {
	mail := func(local, domain int) string {
		return strings.Repeat("a", local) + "@" + strings.Repeat("b.", domain/2-1) + strings.Repeat("c", domain-2*(domain/2-1))
	}
	for _, c := range []struct {
		draft store.Draft
		field string // "" is valid
	}{
		{store.Draft{Name: "x"}, ""},
		{store.Draft{Name: "x", Email: mail(64, 189)}, ""},
		{store.Draft{Name: "x", Email: mail(64, 190)}, "email"},
		{store.Draft{Name: "x", Email: mail(65, 20)}, "email"},
		{store.Draft{Name: "x", Labels: labels(store.MaxLabels)}, ""},
		{store.Draft{Name: "x", Labels: labels(store.MaxLabels + 1)}, "labels"},
		{store.Draft{Name: "x", Labels: map[string]string{"a": "", "A.b_c-9": strings.Repeat("日", store.MaxLabelLength)}}, ""},
		{store.Draft{Name: "x", Labels: map[string]string{strings.Repeat("a", store.MaxLabelKeyLength): ""}}, ""},
		{store.Draft{Name: "x", Labels: map[string]string{strings.Repeat("a", store.MaxLabelKeyLength+1): ""}}, "labels"},
		{store.Draft{Name: "x", Labels: map[string]string{"": ""}}, "labels"},
		{store.Draft{Name: "x", Labels: map[string]string{"__proto__": ""}}, "labels"},
		{store.Draft{Name: "x", Labels: map[string]string{"-a": ""}}, "labels"},
		{store.Draft{Name: "x", Labels: map[string]string{"a/b": ""}}, "labels"},
		{store.Draft{Name: "x", Labels: map[string]string{"a~b": ""}}, "labels"},
		{store.Draft{Name: "x", Labels: map[string]string{"ä": ""}}, "labels"},
		{store.Draft{Name: "x", Labels: map[string]string{"a\n": ""}}, "labels"},
		{store.Draft{Name: "x", Labels: map[string]string{"a": "\x7f"}}, "labels/a"},
		{store.Draft{Name: "x", Labels: map[string]string{"a": "\xff"}}, "labels/a"},
		{store.Draft{Name: "x", Labels: map[string]string{"a": "", "b": strings.Repeat("日", store.MaxLabelLength+1), "c": "\n"}}, "labels/b"},
	} {
		err := c.draft.Validate()
		var invalid *store.Invalid
		if c.field == "" {
			if err != nil {
				t.Errorf("Validate(%q) = %v", c.draft, err)
			}
		} else if !errors.As(err, &invalid) || invalid.Field != c.field {
			t.Errorf("Validate(%q) = %v, want *Invalid of %s", c.draft, err, c.field)
		}
	}
}

func TestNamesAndEmailsAreHeldToTheirRules(t *testing.T) {
	for field, draft := range map[string]func(string) store.Draft{
		"name":  func(text string) store.Draft { return store.Draft{Name: text} },
		"email": func(text string) store.Draft { return store.Draft{Name: "x", Email: text} },
	} {
		harness.Cases(t, "testdata/"+field+"s.txt", func(_ *testing.T, lines []string) string {
			var invalid *store.Invalid
			switch err := draft(lines[0]).Validate(); {
			case err == nil:
				return "valid"
			case errors.As(err, &invalid) && invalid.Field == field:
				return "refused"
			default:
				return err.Error()
			}
		})
	}
}

// What was stored under wider limits does not stand in the way of another change.
func TestChangeIsNotHeldToWhatItLeaves(t *testing.T) {
	old := store.Draft{Name: " ", Email: "a b", Labels: map[string]string{"/": ""}}
	for field, change := range map[string]func(*store.Draft){
		"":       func(*store.Draft) {},
		"name":   func(d *store.Draft) { d.Name = "\u200b" },
		"email":  func(d *store.Draft) { d.Email = "a c" },
		"labels": func(d *store.Draft) { d.Labels = map[string]string{"/": "x"} },
	} {
		draft := old
		change(&draft)
		var invalid *store.Invalid
		_, err := store.Changed(&store.Account{Draft: old}, func(store.Account) (store.Draft, error) { return draft, nil })
		if field == "" && err != nil || field != "" && (!errors.As(err, &invalid) || invalid.Field != field) {
			t.Errorf("changed %q: %v", field, err)
		}
	}
}

func TestImportedAccountsAreHeldToTheirLimits(t *testing.T) {
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	good := store.Account{ID: "1", Draft: store.Draft{Name: "x"}, Version: 3, CreatedAt: day, UpdatedAt: day}
	if err := good.Validate(); err != nil {
		t.Errorf("Validate = %v", err)
	}
	for field, spoil := range map[string]func(*store.Account){
		"id":         func(a *store.Account) { a.ID = ".." },
		"name":       func(a *store.Account) { a.Name = "" },
		"version":    func(a *store.Account) { a.Version = store.MaxVersion + 1 },
		"created_at": func(a *store.Account) { a.CreatedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"updated_at": func(a *store.Account) { a.UpdatedAt = day.Add(-time.Second) },
	} {
		bad := good
		spoil(&bad)
		var invalid *store.Invalid
		if err := bad.Validate(); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("Validate = %v, want *Invalid of %s", err, field)
		}
	}
	if err := (store.Account{ID: "1", Draft: store.Draft{Name: "x"}}).Validate(); err != nil {
		t.Errorf("without version and times: %v", err)
	}
	if err := (store.Account{ID: "1", Draft: store.Draft{Name: "x"}, Version: -1}).Validate(); err == nil {
		t.Errorf("version -1 is valid")
	}
}

func TestLogsHaveNothingThatAPersonWrote(t *testing.T) {
	var b bytes.Buffer
	for _, log := range []*slog.Logger{slog.New(slog.NewJSONHandler(&b, nil)), slog.New(slog.NewTextHandler(&b, nil))} {
		acc := store.Account{ID: "10000", Draft: store.Draft{Name: "Secret", Email: "secret@example.org", Labels: map[string]string{"a": "secret"}}}
		log.Info("x", "account", acc, "draft", acc.Draft)
	}
	if out := strings.ToLower(b.String()); strings.Contains(out, "secret") || strings.Count(out, "10000") != 2 {
		t.Errorf("log has %s", out)
	}
}

// The document tells clients the pattern; ParseID compares bytes.
func TestParseIDTakesWhatThePatternDoes(t *testing.T) {
	grammar := regexp.MustCompile(store.IDPattern)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9._~-]{1,8}`), rapid.StringMatching(`\.{0,4}[a.]{0,2}`), rapid.String()).Draw(t, "id")
		_, err := store.ParseID(s)
		if want := len(s) <= store.MaxIDLength && grammar.MatchString(s); (err == nil) != want {
			t.Errorf("ParseID(%q) = %v, the pattern says %v", s, err, want)
		}
	})
}

// What no rule refuses is stored. What is stored already must not stand in the way of a change of another field.
func TestEveryFieldOfTheContentHasARule(t *testing.T) {
	refused := store.Draft{Name: "\x00", Email: "\x00", Labels: map[string]string{"x": "\x00"}}
	for i, field := range reflect.VisibleFields(reflect.TypeFor[store.Draft]()) {
		member, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value, draft := reflect.ValueOf(refused).Field(i), store.Draft{Name: "x"}
		if value.IsZero() {
			t.Errorf("%s has no value in this test that is refused", field.Name)
		}
		reflect.ValueOf(&draft).Elem().Field(i).Set(value)
		var invalid *store.Invalid
		if err := draft.Validate(); !errors.As(err, &invalid) || !strings.HasPrefix(invalid.Field, member) {
			t.Errorf("Validate(%+v) = %v, want *Invalid of %s", draft, err, member)
		}
		unchanged := func(store.Account) (store.Draft, error) { return draft, nil }
		if _, err := store.Changed(&store.Account{Draft: draft}, unchanged); err != nil {
			t.Errorf("validateChange does not leave %s as it is: %v", field.Name, err)
		}
	}
}

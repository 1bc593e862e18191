package checks_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/checks"
	"accountservice/tests/harness"
)

// sickRunner has one check of each consequence, of which these fail.
func sickRunner(t *testing.T, ill ...string) *checks.Runner {
	t.Helper()
	var list []checks.Check
	for _, c := range []struct {
		name string
		on   checks.Consequence
	}{{"own", checks.Restart}, {"route", checks.Unroute}, {"extra", checks.Degrade}} {
		var sick switchable
		if slices.Contains(ill, c.name) {
			sick.set(errors.New(c.name + " is ill"))
		}
		list = append(list, check(c.name, c.on, sick.run))
	}
	r := byHand(t, list...)
	r.ProbeAll(t.Context())
	return r
}

func TestStrictCountsEveryFailingCheck(t *testing.T) {
	for name, c := range map[string]struct {
		ill                                      []string
		order                                    func(*checks.Runner)
		health, ready, strictHealth, strictReady int
	}{
		"all well":    {nil, nil, 200, 200, 200, 200},
		"degraded":    {[]string{"extra"}, nil, 200, 200, 503, 503},
		"unroute":     {[]string{"route"}, nil, 200, 503, 503, 503},
		"restart":     {[]string{"own"}, nil, 503, 503, 503, 503},
		"draining":    {nil, (*checks.Runner).Drain, 200, 503, 200, 503},
		"maintenance": {nil, func(r *checks.Runner) { r.Maintain("tests", time.Minute) }, 200, 503, 200, 503},
	} {
		r := sickRunner(t, c.ill...)
		if c.order != nil {
			c.order(r)
		}
		report := r.Snapshot()
		for _, form := range []checks.Form{checks.JSON, checks.HealthJSON, checks.Text} {
			ready, err := report.AnswerReady(form, false, nil)
			strictReady, strictErr := report.AnswerReady(form, true, nil)
			got := []int{code(report.AnswerHealth(form, false)), code(ready), code(report.AnswerHealth(form, true)), code(strictReady)}
			if want := []int{c.health, c.ready, c.strictHealth, c.strictReady}; !slices.Equal(got, want) || err != nil || strictErr != nil {
				t.Errorf("%s: /health, /ready and both strictly are %d, want %d; %v, %v", name, got, want, err, strictErr)
			}
		}
	}
}

func TestExcludedChecksAreLeftOutOfTheVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		ill     []string
		strict  bool
		exclude []string
		want    int // 0 for checks.ErrUnknownCheck
	}{
		"the one that fails":        {[]string{"route"}, false, []string{"route"}, 200},
		"another":                   {[]string{"route"}, false, []string{"extra"}, 503},
		"one of two":                {[]string{"route", "own"}, false, []string{"route"}, 503},
		"both":                      {[]string{"route", "own"}, false, []string{"own", "route"}, 200},
		"degraded and strict":       {[]string{"extra"}, true, []string{"extra"}, 200},
		"unknown":                   {nil, false, []string{"rout"}, 0},
		"unknown beside known":      {nil, false, []string{"route", "rout"}, 0},
		"unknown, and ill":          {[]string{"route"}, false, []string{"none"}, 0},
		"an order that isn't given": {nil, false, []string{"maintenance", "drain"}, 200},
	} {
		got, err := sickRunner(t, c.ill...).Snapshot().AnswerReady(checks.JSON, c.strict, c.exclude)
		if c.want != 0 && code(got) != c.want || errors.Is(err, checks.ErrUnknownCheck) != (c.want == 0) {
			t.Errorf("%s: %d, %v; want %d", name, code(got), err, c.want)
			continue
		}
		if c.want != 0 && read[checks.HealthDocument](t, got.Body).Ready != (c.want == 200) {
			t.Errorf("%s: %d with %s", name, code(got), got.Body)
		}
	}
	r := sickRunner(t)
	r.Maintain("tests", time.Minute)
	if got, err := r.Snapshot().AnswerReady(checks.JSON, false, []string{"maintenance"}); !got.OK || err != nil {
		t.Errorf("without the maintenance: %d, %v; want what would be after it", code(got), err)
	}
}

// Before the names are known none is unknown, and none can be left out.
func TestServiceIsUnhealthyBeforeItsChecksRun(t *testing.T) {
	for _, r := range []*checks.Snapshot{checks.Pending{Component: me, Reason: "opening the database"}.Snapshot(), byHand(t, check("a", checks.Restart, (&switchable{}).run)).Snapshot()} {
		health := r.AnswerHealth(checks.JSON, false)
		ready, err := r.AnswerReady(checks.JSON, false, []string{"starting", "nobody"})
		if health.OK || ready.OK || err != nil || !strings.Contains(string(health.Body), `"starting":"`) {
			t.Errorf("/health %d %s, /ready %d, %v; want 503 for both, and why", code(health), health.Body, code(ready), err)
		}
	}
}

func TestTimesInJSONHaveMillisecondsAlways(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-22T14:39:49.7Z":              `"2026-11-22T14:39:49.700Z"`,
		"2026-11-22T14:39:49Z":                `"2026-11-22T14:39:49.000Z"`,
		"2026-11-22T15:39:49.708999999+01:00": `"2026-11-22T14:39:49.708Z"`,
	} {
		at, err := time.Parse(time.RFC3339Nano, text)
		harness.Must(t, err)
		if got, err := json.Marshal(checks.Instant{Time: at}); err != nil || string(got) != want {
			t.Errorf("%s is shown as %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestHealthJSONIsThatOfTheDraft(t *testing.T) {
	for _, c := range []struct {
		ill                   []string
		health, ready, output string
	}{
		{nil, "pass", "pass", ""},
		{[]string{"extra"}, "warn", "warn", "extra: extra is ill"},
		{[]string{"extra", "route"}, "warn", "fail", "extra: extra is ill; route: route is ill"},
		{[]string{"own"}, "fail", "fail", "own: own is ill"},
	} {
		r := sickRunner(t, c.ill...)
		report := r.Snapshot()
		ready, _ := report.AnswerReady(checks.HealthJSON, false, nil)
		health := read[checks.HealthJSONDocument](t, report.AnswerHealth(checks.HealthJSON, false).Body)
		if got := read[checks.HealthJSONDocument](t, ready.Body).Status; health.Status != c.health || got != c.ready || health.Output != c.output || health.Version != "test" {
			t.Errorf("%v: /health %+v, /ready %s; want %s with %q, %s", c.ill, health, got, c.health, c.output, c.ready)
		}
		for _, name := range []string{"own", "route", "extra"} {
			m := health.Checks[name+":responseTime"]
			want := "pass"
			if slices.Contains(c.ill, name) {
				want = "fail"
			}
			if len(m) != 1 || m[0].Status != want || m[0].ObservedValue == nil || m[0].ObservedUnit != "ms" || m[0].Time == nil || m[0].ComponentType == "" {
				t.Errorf("%v: %s is %+v, want %s", c.ill, name, m, want)
			}
			alone := read[checks.HealthJSONDocument](t, one(t, r, checks.HealthJSON, name).Body)
			if (alone.Status == "fail") != (want == "fail") || len(alone.Checks) != 1 {
				t.Errorf("%v: %s by itself is %+v, want %s", c.ill, name, alone, want)
			}
		}
	}
	r := sickRunner(t)
	r.Drain()
	if o := read[checks.HealthJSONDocument](t, r.Snapshot().AnswerHealth(checks.HealthJSON, false).Body); o.Status != "warn" || len(o.Checks["drain"]) != 1 || o.Checks["drain"][0].Status != "fail" {
		t.Errorf("draining: %+v", o)
	}
	if o := read[checks.HealthJSONDocument](t, checks.Pending{Component: me, Reason: "opening"}.Snapshot().AnswerHealth(checks.HealthJSON, false).Body); o.Status != "fail" || o.Output != "starting: opening" {
		t.Errorf("starting: %+v", o)
	}
}

func TestTextIsOneLineACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := sickRunner(t, "extra")
		r.Maintain("a new\ndisk", time.Minute)
		want := `accountservice test: Partially Available, not ready
own          ok        restart  for 0s, last run 0.000 ms
route        ok        unroute  for 0s, last run 0.000 ms
extra        failing   degrade  for 0s, last run 0.000 ms: extra is ill
maintenance  until 2000-01-01T00:01:00Z: a new disk
`
		if got, err := r.Snapshot().AnswerReady(checks.Text, false, nil); string(got.Body) != want || err != nil {
			t.Errorf("got:\n%s\nwant:\n%s%v", got.Body, want, err)
		}
		alone := string(one(t, r, checks.Text, "extra").Body)
		if want := "extra  failing   degrade  for 0s, last run 0.000 ms: extra is ill\n" +
			"2000-01-01T00:00:00Z  failing after 0s starting, 1 failed: extra is ill\n2000-01-01T00:00:00Z  last failure: extra is ill\n"; alone != want {
			t.Errorf("got:\n%s\nwant:\n%s", alone, want)
		}
	})
	if got := string(checks.Pending{Component: me, Reason: "opening the database"}.Snapshot().AnswerHealth(checks.Text, false).Body); !strings.HasSuffix(got, "Unavailable, not ready\nstarting  opening the database\n") {
		t.Errorf("starting:\n%s", got)
	}
}

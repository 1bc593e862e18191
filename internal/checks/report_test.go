package checks

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sickRunner has one check of each consequence, of which these fail.
func sickRunner(t *testing.T, ill ...string) *Runner {
	t.Helper()
	var list []Check
	for _, c := range []struct {
		name string
		on   Consequence
	}{{"own", Restart}, {"route", Unroute}, {"extra", Degrade}} {
		var sick switchable
		if slices.Contains(ill, c.name) {
			sick.set(errors.New(c.name + " is ill"))
		}
		list = append(list, check(c.name, c.on, sick.run))
	}
	r := byHand(t, list...)
	for _, p := range r.probers {
		p.probe(t.Context(), nil)
	}
	r.publish()
	return r
}

func TestStrictCountsEveryFailingCheck(t *testing.T) {
	for name, c := range map[string]struct {
		ill                                      []string
		order                                    func(*Runner)
		health, ready, strictHealth, strictReady int
	}{
		"all well":    {nil, nil, 200, 200, 200, 200},
		"degraded":    {[]string{"extra"}, nil, 200, 200, 503, 503},
		"unroute":     {[]string{"route"}, nil, 200, 503, 503, 503},
		"restart":     {[]string{"own"}, nil, 503, 503, 503, 503},
		"draining":    {nil, (*Runner).Drain, 200, 503, 200, 503},
		"maintenance": {nil, func(r *Runner) { r.Maintain("tests", time.Minute) }, 200, 503, 200, 503},
	} {
		r := sickRunner(t, c.ill...)
		if c.order != nil {
			c.order(r)
		}
		report := r.Report()
		for _, form := range []Form{JSON, HealthJSON, Text} {
			ready, err := report.Ready(form, false, nil)
			strictReady, strictErr := report.Ready(form, true, nil)
			got := []int{report.Health(form, false).Status, ready.Status, report.Health(form, true).Status, strictReady.Status}
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
		want    int // 0 for ErrUnknownCheck
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
		got, err := sickRunner(t, c.ill...).Report().Ready(JSON, c.strict, c.exclude)
		if got.Status != c.want || errors.Is(err, ErrUnknownCheck) != (c.want == 0) {
			t.Errorf("%s: %d, %v; want %d", name, got.Status, err, c.want)
			continue
		}
		if c.want != 0 && read(t, got.Body).Ready != (c.want == 200) {
			t.Errorf("%s: %d with %s", name, got.Status, got.Body)
		}
	}
	r := sickRunner(t)
	r.Maintain("tests", time.Minute)
	if got, err := r.Report().Ready(JSON, false, []string{"maintenance"}); got.Status != 200 || err != nil {
		t.Errorf("without the maintenance: %d, %v; want what would be after it", got.Status, err)
	}
}

// Before the names are known none can be wrong, and nothing can be left out.
func TestNothingIsExcludedFromStarting(t *testing.T) {
	for _, r := range []*Report{Pending{me, "opening the database"}.Report(), byHand(t, check("a", Restart, (&switchable{}).run)).Report()} {
		if got, err := r.Ready(JSON, false, []string{"starting", "nobody"}); got.Status != 503 || err != nil {
			t.Errorf("%d, %v; want 503", got.Status, err)
		}
	}
}

func TestHealthJSONIsThatOfTheDraft(t *testing.T) {
	type object struct {
		Status, Version, Description, Output string
		Checks                               map[string][]struct {
			ComponentType, ObservedUnit, Status, Output string
			ObservedValue                               *float64
			Time                                        time.Time
		}
	}
	decode := func(body []byte) object {
		t.Helper()
		var o object
		if err := json.Unmarshal(body, &o); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return o
	}
	for _, c := range []struct {
		ill                   []string
		health, ready, output string
	}{
		{nil, "pass", "pass", ""},
		{[]string{"extra"}, "warn", "warn", "extra: extra is ill"},
		{[]string{"extra", "route"}, "warn", "fail", "extra: extra is ill; route: route is ill"},
		{[]string{"own"}, "fail", "fail", "own: own is ill"},
	} {
		report := sickRunner(t, c.ill...).Report()
		ready, _ := report.Ready(HealthJSON, false, nil)
		health := decode(report.Health(HealthJSON, false).Body)
		if got := decode(ready.Body).Status; health.Status != c.health || got != c.ready || health.Output != c.output || health.Version != "test" {
			t.Errorf("%v: /health %+v, /ready %s; want %s with %q, %s", c.ill, health, got, c.health, c.output, c.ready)
		}
		for _, name := range []string{"own", "route", "extra"} {
			m := health.Checks[name+":responseTime"]
			want := "pass"
			if slices.Contains(c.ill, name) {
				want = "fail"
			}
			if len(m) != 1 || m[0].Status != want || m[0].ObservedValue == nil || m[0].ObservedUnit != "ms" || m[0].Time.IsZero() || m[0].ComponentType == "" {
				t.Errorf("%v: %s is %+v, want %s", c.ill, name, m, want)
			}
			one := decode(report.Checks[name].In(HealthJSON).Body)
			if (one.Status == "fail") != (want == "fail") || len(one.Checks) != 1 {
				t.Errorf("%v: %s by itself is %+v, want %s", c.ill, name, one, want)
			}
		}
	}
	r := sickRunner(t)
	r.Drain()
	if o := decode(r.Report().Health(HealthJSON, false).Body); o.Status != "warn" || len(o.Checks["drain"]) != 1 || o.Checks["drain"][0].Status != "fail" {
		t.Errorf("draining: %+v", o)
	}
	if o := decode(Pending{me, "opening"}.Report().Health(HealthJSON, false).Body); o.Status != "fail" || o.Output != "starting: opening" {
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
		if got, err := r.Report().Ready(Text, false, nil); string(got.Body) != want || err != nil {
			t.Errorf("got:\n%s\nwant:\n%s%v", got.Body, want, err)
		}
		one := string(r.Report().Checks["extra"].In(Text).Body)
		if want := "extra  failing   degrade  for 0s, last run 0.000 ms: extra is ill\n" +
			"2000-01-01T00:00:00Z  failing after 0s starting, 1 failed: extra is ill\n2000-01-01T00:00:00Z  last failure: extra is ill\n"; one != want {
			t.Errorf("got:\n%s\nwant:\n%s", one, want)
		}
	})
	if got := string(Pending{me, "opening the database"}.Report().Health(Text, false).Body); !strings.HasSuffix(got, "Unavailable, not ready\nstarting  opening the database\n") {
		t.Errorf("starting:\n%s", got)
	}
}

package handlers_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/internal/checks"
	"accountservice/internal/handlers"
)

// statusOf serves the page for operators over these checks.
func statusOf(t *testing.T, so func([]checks.CheckHistory) bool, list ...checks.Check) service {
	t.Helper()
	live := handlers.NewLive()
	live.SetHealth(runChecks(t, so, list...))
	live.Serve(handlers.Parts{Size: func() string { return "3 accounts, & <more>" }})
	return serveHandler(t, handlers.NewAdmin(adminOver(live)))
}

func TestStatusPageEscapesWhatOthersSay(t *testing.T) {
	t.Parallel()
	const evil = `<script>alert(1)</script>"' onload=x`
	plan := check(`<b a="`, checks.Degrade, fails(evil))
	plan.Cure = "mend <it>"
	s := statusOf(t, func(all []checks.CheckHistory) bool { return all[0].Status == checks.Failing }, plan)
	r := s.do(t, "GET", "/status", "")
	for _, raw := range []string{"<script", `"' onload`, "<b a", "<it>", "<more>"} {
		if strings.Contains(r.body, raw) {
			t.Errorf("the page has %s:\n%s", raw, r.body)
		}
	}
	for _, want := range []string{"&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39; onload=x", "mend &lt;it&gt;", "&amp; &lt;more&gt;"} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the page lacks %s:\n%s", want, r.body)
		}
	}
}

// endsSoon is the warning of a check that passes.
type endsSoon struct{ error }

func (w endsSoon) Warning() string { return w.Error() }

func TestStatusPageSaysWhatToDoAboutAWarning(t *testing.T) {
	t.Parallel()
	warns := check("tls", checks.Restart, func(context.Context) error { return endsSoon{errors.New("ends soon")} })
	well := check("disk", checks.Restart, passes)
	warns.Cure, well.Cure = "renew it", "free space"
	body := statusOf(t, func(all []checks.CheckHistory) bool { return all[0].Status == checks.OK && all[1].Status == checks.OK },
		well, warns).do(t, "GET", "/status", "").body
	_, tls, _ := strings.Cut(body, "<h2>tls")
	tls, disk, _ := strings.Cut(tls, "<h2>disk")
	if !strings.Contains(tls, "ends soon") || !strings.Contains(tls, "<b>What to do</b>: renew it") || strings.Contains(tls, "It means") {
		t.Errorf("of a check that warns it says: %s", tls)
	}
	if disk == "" || strings.Contains(disk, "free space") {
		t.Errorf("of a check that passes, behind it, it says: %s", disk)
	}
}

// A browser obeys the policy: nothing is loaded, run or sent, and only the page's own style is used.
func TestStatusPageMayUseItsOwnStyleAlone(t *testing.T) {
	t.Parallel()
	admin, _ := serveAdmin(t)
	r := admin.do(t, "GET", "/status", "")
	_, rest, _ := strings.Cut(r.body, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if got := r.Header.Get("Content-Security-Policy"); len(style) < 500 || got != want {
		t.Errorf("the policy is %s, want %s", got, want)
	}
	for _, outside := range []string{"http:", "https:", "src=", "<script", "style=", "url(", "@import"} {
		if strings.Contains(r.body, outside) {
			t.Errorf("the page has %s", outside)
		}
	}
	if r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("Content-Type: %s", r.Header.Get("Content-Type"))
	}
	if r := admin.do(t, "GET", "/status", "", "Sec-Fetch-Site", "cross-site"); r.StatusCode != 403 {
		t.Errorf("for a page of another site: %d", r.StatusCode)
	}
}

func TestStatusPageShowsTheLastChangesAndWhatToDo(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	flaps := func(context.Context) error {
		if n := runs.Add(1); n%2 == 0 && n < 40 {
			return errors.New("ill")
		}
		return nil
	}
	plan := check("users", checks.Unroute, flaps)
	plan.Interval, plan.Cure = time.Millisecond, "ask them"
	other := plan
	other.Name, other.Run = "rates", fails("down")
	s := statusOf(t, func(all []checks.CheckHistory) bool {
		return runs.Load() > 41 && len(all[0].Changes) == 20 && all[0].Status == checks.OK && all[0].Changes[0].Failures > 0 && all[1].Status == checks.Failing
	}, plan, other)
	body := s.do(t, "GET", "/status", "").body
	if first, second := strings.Index(body, "<h2>rates"), strings.Index(body, "<h2>users"); first < 0 || first > second {
		t.Error("the check that fails does not stand first")
	}
	if n := strings.Count(body, "<li "); n != 21 {
		t.Errorf("%d changes, want the last 20 and the 1", n)
	}
	for _, want := range []string{"<b>What to do</b>: ask them", "<b>It means</b> (unroute): /ready is 503", "Last failure 20", ": ill",
		"Partially Available, not ready", "failing after "} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q:\n%s", want, body)
		}
	}
}

func TestStatusPageOfThePublicListenerIsAskedForAndWithholdsReasons(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	if r := serve(t, nil).do(t, "GET", "/status", ""); r.StatusCode != 404 {
		t.Errorf("without the option: %d", r.StatusCode)
	}
	for _, always := range []bool{false, true} {
		s := serveWith(t, nil, func(o *handlers.Options) {
			o.Tokens, o.ShowReasons, o.StatusPage = k.Tokens, always, true
			o.Live.Serve(handlers.Parts{Size: func() string { return "7 accounts" }})
		})
		for name, header := range k.credentials() {
			r := s.do(t, "GET", "/status", "", header...)
			may := always || name == "health"
			if r.StatusCode != 200 || strings.Contains(r.body, "refused") != may || strings.Contains(r.body, "7 accounts") != may ||
				strings.Contains(r.body, "withheld") == may || !strings.Contains(r.body, "<h2>users") {
				t.Errorf("reasons always %v, %s: %d %s", always, name, r.StatusCode, r.body)
			}
		}
	}
}

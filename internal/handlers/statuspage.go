package handlers

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"time"

	"accountservice/internal/checks"
)

//go:embed status.html
var statusPage string

// statusHead and statusTail are what stands before and behind the status in the page.
var statusHead, statusTail, _ = strings.Cut(statusPage, "<!-- status -->")

// statusPolicy lets the page load nothing, and use the one style that it has.
var statusPolicy = func() string {
	_, rest, _ := strings.Cut(statusPage, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// meanings say what the failure of a check means.
var meanings = map[checks.Consequence]string{
	checks.Restart: "/health is 503, and the orchestrator replaces the container.",
	checks.Unroute: "/ready is 503, and no traffic is sent here. The container is not replaced.",
	checks.Degrade: "The service still serves.",
}

// statusHandler serves the page for people. It is 200 whatever it shows: a proxy may hide the body of another answer.
// Those who may not see reasons see no size of the database either.
func statusHandler(live *Live, g *guard) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		health, size := live.Snapshot(), live.size()
		if g != nil && !g.showsReasons(r) {
			health, size = health.WithoutReasons(), ""
		}
		header := w.Header()
		header.Set("Content-Security-Policy", statusPolicy)
		header.Set("Content-Type", "text/html; charset=utf-8")
		var b strings.Builder
		b.WriteString(statusHead)
		writeStatus(&b, health, size)
		b.WriteString(statusTail)
		w.Write([]byte(b.String())) // an error is the client's
	})
}

// printHTML writes the format, with all texts of args escaped.
func printHTML(b *strings.Builder, format string, args ...any) {
	for i, arg := range args {
		if _, is := arg.(float64); !is {
			args[i] = html.EscapeString(fmt.Sprint(arg))
		}
	}
	fmt.Fprintf(b, format, args...)
}

func writeStatus(b *strings.Builder, s *checks.Snapshot, size string) {
	class, ready := "failing", "not ready"
	if s.Ready {
		ready = "ready"
	}
	switch starting := func(r checks.Reason) bool { return r.Name == "starting" }; {
	case s.Status == "OK" && s.Ready:
		class = "ok"
	case s.Healthy, slices.ContainsFunc(s.Reasons, starting):
		class = "warn"
	}
	printHTML(b, "<header class=\"%s\"><h1>%s: %s, %s</h1>\n", class, s.Component.Name, s.Status, ready)
	for _, r := range s.Reasons {
		printHTML(b, "<p><b>%s</b>: %s</p>\n", r.Name, r.Text)
	}
	b.WriteString("</header>\n<main>\n")
	for _, c := range slices.SortedStableFunc(slices.Values(s.Checks), func(x, y checks.CheckHistory) int {
		return rank(x) - rank(y)
	}) {
		writeCheck(b, c, s.At)
	}
	b.WriteString("</main>\n<footer class=soft>")
	if size != "" {
		printHTML(b, "<p>%s</p>", size)
	}
	printHTML(b, "<p>Version %s, at %s. This page renews itself every 10 seconds.</p></footer>\n", s.Component.Version,
		moment(checks.Instant{Time: s.At}))
}

// rank orders the checks of the page: those first that somebody should look at.
func rank(c checks.CheckHistory) int {
	switch {
	case c.Status != checks.OK:
		return 0
	case c.Warning != "":
		return 1
	}
	return 2
}

func writeCheck(b *strings.Builder, c checks.CheckHistory, now time.Time) {
	class, word := string(c.Status), string(c.Status)
	if c.Status == checks.OK && c.Warning != "" {
		class, word = "warn", "ok, warns"
	}
	printHTML(b, "<article class=\"%s\"><span class=status>%s</span><h2>%s</h2>", class, word, c.Name)
	printHTML(b, "<p class=soft>since <time>%s</time> (%s), run %.3g ms</p>\n", moment(c.Since),
		now.Sub(c.Since.Time).Round(time.Second), c.LatencyMS)
	for _, text := range []string{c.Error, c.Warning} {
		if text != "" {
			printHTML(b, "<p>%s</p>\n", text)
		}
	}
	if c.Status != checks.OK {
		printHTML(b, "<p><b>It means</b> (%s): %s</p>\n", c.OnFailure, meanings[c.OnFailure])
	}
	if c.Status != checks.OK || c.Warning != "" {
		printHTML(b, "<p><b>What to do</b>: %s</p>\n", c.Cure)
	}
	if c.Status == checks.OK {
		printHTML(b, "<p class=soft>If it fails (%s): %s</p>\n", c.OnFailure, meanings[c.OnFailure])
		if last := c.LastFailure; last != nil {
			printHTML(b, "<p class=soft>Last failure %s: %s</p>\n", moment(last.At), last.Error)
		}
	}
	writeChanges(b, c.Changes)
	b.WriteString("</article>\n")
}

func moment(at checks.Instant) string { return at.UTC().Format("2006-01-02 15:04:05Z") }

// writeChanges writes the strip of the last changes, the newest last.
func writeChanges(b *strings.Builder, changes []checks.Change) {
	b.WriteString("<ol aria-label=\"last changes\">")
	for i := len(changes) - 1; i >= 0; i-- {
		c := changes[i]
		mark := map[checks.Status]string{checks.OK: "✓", checks.Failing: "✕"}[c.To]
		text := fmt.Sprintf("%s: %s after %s %s", moment(c.At), c.To, c.Lasted, c.From)
		if c.Error != "" {
			text += ": " + c.Error
		}
		printHTML(b, "<li class=\"%s\" title=\"%s\">%s</li>", c.To, text, mark)
	}
	b.WriteString("</ol>")
}

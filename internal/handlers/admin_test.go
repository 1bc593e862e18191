package handlers_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"accountservice/internal/checks"
	"accountservice/internal/handlers"
)

// serveAdmin starts the operators' routes over a runner of one healthy check.
func serveAdmin(t *testing.T) (service, *checks.Runner) {
	t.Helper()
	reg := prometheus.NewRegistry()
	r := runner(t, passes)
	r.Register(reg)
	opts := adminOver(handlers.NewLive())
	opts.Live.Serve(handlers.Parts{Maintainer: r})
	opts.Metrics = reg
	return serveHandler(t, handlers.NewAdmin(opts)), r
}

// adminOver is the options of the operators' routes over live alone.
func adminOver(live *handlers.Live) handlers.AdminOptions {
	return handlers.AdminOptions{Level: new(slog.LevelVar), Live: live, Metrics: prometheus.NewRegistry(), Version: "1.2.3", Log: slog.New(slog.DiscardHandler)}
}

func TestMaintenanceIsBegunReadAndEnded(t *testing.T) {
	s, r := serveAdmin(t)
	var got struct {
		Active       bool
		Reason       string
		Since, Until time.Time
	}
	s.do(t, "GET", "/maintenance", "").is(t, 200, &got)
	if got.Active || got.Reason != "" {
		t.Errorf("before: %+v", got)
	}
	s.do(t, "PUT", "/maintenance", `{"reason":"a new disk","ttl":"10m"}`).is(t, 200, &got)
	if !got.Active || got.Reason != "a new disk" || got.Until.Sub(got.Since) != 10*time.Minute {
		t.Errorf("ordered: %+v", got)
	}
	if now := r.Snapshot(); !now.Healthy || now.Ready {
		t.Errorf("healthy %v, ready %v; want healthy and not ready", now.Healthy, now.Ready)
	}
	s.do(t, "GET", "/maintenance", "").is(t, 200, &got)
	if !got.Active || got.Reason != "a new disk" {
		t.Errorf("meanwhile: %+v", got)
	}
	for range 2 {
		if answer := s.do(t, "DELETE", "/maintenance", ""); answer.StatusCode != 204 || answer.body != "" {
			t.Errorf("DELETE = %d %s", answer.StatusCode, answer.body)
		}
	}
	if !r.Snapshot().Ready {
		t.Errorf("not ready after the end")
	}
}

// curl and Go's client send a body in chunks when they do not know its length before.
func TestOrdersOfOperatorsMayComeInChunks(t *testing.T) {
	s, _ := serveAdmin(t)
	for path, order := range map[string]string{"/maintenance": `{"reason":"x","ttl":"1m"}`, "/log-level": `{"level":"warn"}`} {
		s.raw(t, "PUT", fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
			"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", path, len(order), order)).is(t, 200, &struct{}{})
	}
}

func TestBadMaintenanceIsAProblemAndChangesNothing(t *testing.T) {
	s, r := serveAdmin(t)
	for body, status := range map[string]int{
		``: 400, `{`: 400, `{"reason":"x","ttl":"1m"} secret7`: 400,
		`{}`: 422, `{"reason":"x"}`: 422, `{"ttl":"1m"}`: 422, `{"reason":"","ttl":"1m"}`: 422, `{"reason":" ","ttl":"1m"}`: 422,
		`{"reason":"x","ttl":"secret7"}`: 422, `{"reason":"x","ttl":60}`: 422, `{"reason":"x","ttl":"60"}`: 422, `{"reason":"x","ttl":"24h1s"}`: 422,
		`{"reason":"x","ttl":"1m","by":"secret7"}`:                   422,
		`{"reason":"` + strings.Repeat("x", 201) + `","ttl":"1m"}`:   422,
		`{"reason":"` + strings.Repeat("x", 4<<10) + `","ttl":"1m"}`: 413,
	} {
		answer := s.do(t, "PUT", "/maintenance", body)
		answer.isProblem(t, status)
		if strings.Contains(answer.body, "secret7") {
			t.Errorf("%.60s: %s repeats what was sent", body, answer.body)
		}
	}
	for _, ttl := range []string{"1ms", "-1m", "0s", "25h", "", "1 hour"} {
		s.do(t, "PUT", "/maintenance", `{"reason":"x","ttl":"`+ttl+`"}`).refuses(t, "#/ttl", ttl)
	}
	s.do(t, "PUT", "/maintenance?ttl=1m", `{"reason":"x","ttl":"1m"}`).isProblem(t, 422)
	s.do(t, "PUT", "/maintenance", `{"reason":"x","ttl":"1m"}`, "Content-Type", "text/plain").isProblem(t, 415)
	s.do(t, "POST", "/maintenance", `{"reason":"x","ttl":"1m"}`).isProblem(t, 405)
	s.send(t, "GET", "/accounts", "").isProblem(t, 404)
	s.send(t, "GET", "/health", "").isProblem(t, 404)
	if _, on := r.Maintenance(); on {
		t.Errorf("a refused order is in force")
	}
}

func TestMetricsAndProfilesAreServedToOperators(t *testing.T) {
	s, _ := serveAdmin(t)
	for path, want := range map[string]string{
		"/metrics":                             `accountservice_check_healthy{check="bolt",on_failure="restart"} 1`,
		"/debug/pprof/":                        "goroutine",
		"/debug/pprof/goroutine?debug=1":       "goroutine profile: total",
		"/debug/pprof/cmdline":                 "handlers.test",
		"/debug/pprof/heap?debug=1&gc=1":       "heap profile",
		"/debug/pprof/profile?seconds=1":       "",
		"/debug/pprof/trace?seconds=0.1":       "go 1.",
		"/debug/pprof/symbol?0x1":              "num_symbols",
		"/openapi.json":                        "/maintenance",
		"/debug/pprof/goroutine?debug=2&x=y&z": "created by",
	} {
		if r := s.do(t, "GET", path, ""); r.StatusCode != 200 || !strings.Contains(r.body, want) {
			t.Errorf("%s = %d %.200s, want %q", path, r.StatusCode, r.body, want)
		}
	}
	if r := s.do(t, "GET", "/debug/pprof/nothing", ""); r.StatusCode != 404 {
		t.Errorf("an unknown profile is %d", r.StatusCode)
	}
}

func TestOperatorsWaitForTheStart(t *testing.T) {
	live := handlers.NewLive()
	s := serveHandler(t, handlers.NewAdmin(adminOver(live)))
	for method, body := range map[string]string{"GET": "", "DELETE": "", "PUT": `{"reason":"x","ttl":"1m"}`} {
		r := s.do(t, method, "/maintenance", body)
		r.isProblem(t, 503)
		if r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", method)
		}
	}
	if r := s.do(t, "GET", "/metrics", ""); r.StatusCode != 200 {
		t.Errorf("/metrics = %d", r.StatusCode)
	}
	live.Serve(handlers.Parts{Maintainer: runner(t, passes)})
	s.do(t, "PUT", "/maintenance", `{"reason":"x","ttl":"1m"}`).is(t, 200, &struct{}{})
}

// A web page whose name leads to this machine must not give orders.
func TestOnThisMachineOnlyItsOwnNamesAreServed(t *testing.T) {
	loopback, swarm := &net.TCPAddr{IP: net.IPv4(127, 0, 1, 1)}, &net.TCPAddr{IP: net.IPv4(10, 0, 1, 7)}
	opts := adminOver(handlers.NewLive())
	opts.Addr = "admin.example:6768"
	admin := handlers.NewAdmin(opts)
	for _, c := range []struct {
		local  net.Addr
		host   string
		status int
	}{
		{loopback, "localhost:6768", 200}, {loopback, "LocalHost.", 200}, {loopback, "127.0.0.1:6768", 200}, {loopback, "[::1]:6768", 200},
		{loopback, "[::1]", 200}, {loopback, "192.0.2.1", 200}, {loopback, "admin.example:80", 200},
		{loopback, "evil.example:6768", 421}, {loopback, "evil.example", 421}, {loopback, "localhost.evil.example", 421}, {loopback, "127.0.0.1.evil.example", 421},
		{swarm, "accountservice:6768", 200}, {swarm, "evil.example", 200},
	} {
		for path, status := range map[string]int{"/metrics": c.status, "/debug/pprof/cmdline": c.status, "/nothing": max(c.status, 404)} {
			r := httptest.NewRequest("GET", path, nil)
			r.Host = c.host
			answer := ask(admin, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, c.local)))
			if answer.Code != status {
				t.Errorf("%s of %s at %s = %d, want %d", path, c.host, c.local, answer.Code, status)
			}
		}
	}
	s, r := serveAdmin(t)
	const order = `{"reason":"x","ttl":"1m"}`
	resp := s.raw(t, "PUT", fmt.Sprintf("PUT /maintenance HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(order), order))
	if _, on := r.Maintenance(); on || resp.StatusCode != 421 {
		t.Errorf("an order in another name = %d, in force: %v", resp.StatusCode, on)
	}
}

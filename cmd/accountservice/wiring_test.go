package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/connections"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

func TestEveryCheckHasTheScheduleOfItsOwnSettings(t *testing.T) {
	settings := func(n int, on string) config.Check {
		d := time.Duration(n) * time.Second
		return config.Check{OnFailure: on,
			Schedule: config.Schedule{Interval: 3 * d, Timeout: d, FailAfter: n + 4, PassAfter: n + 2, StaleAfter: 100 * d}}
	}
	sick := httptest.NewServer(http.NotFoundHandler())
	defer sick.Close()
	folder := t.TempDir()
	t.Chdir(folder) // the checks name it, not "."
	var cfg config.Config
	cfg.Store.Bolt = config.Bolt{Path: "accounts.db", OpenTimeout: time.Second, Create: "auto", Volume: "warn"}
	cfg.Checks.Schedule = settings(6, "").Schedule
	cfg.Checks.Bolt.Check, cfg.Checks.Records = settings(1, "unroute"), settings(2, "restart")
	cfg.Checks.Disk = config.Disk{Check: settings(3, "degrade"), MinFree: 1 << 50}
	loaded, err := config.Load("", []string{"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL=" + sick.URL})
	harness.Must(t, err)
	url := loaded.Checks.Dependencies["users"].URL
	cfg.Checks.Dependencies = map[string]config.Dependency{
		"users": {Check: settings(4, "unroute"), URL: url},
		"rates": {Check: settings(5, "degrade"), URL: url},
	}
	accounts, err := openBolt(t.Context(), cfg, nil, slog.New(slog.DiscardHandler))
	harness.Must(t, err)
	defer storetest.Close(t, accounts)
	others, faults := dependencyChecks(cfg)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	list := append(accounts.Checks, others...)
	volume := "" // whether this machine's temporary folder is a volume
	if err := checks.Volume(folder)(t.Context()); err != nil {
		volume = err.Error()
	}
	want := map[string]struct {
		settings config.Check
		healthy  string // "" or the words of its failure
		lost     string // the first after the database was removed
	}{
		"bolt":    {cfg.Checks.Bolt.Check, "", "were put back at the path"},
		"records": {cfg.Checks.Records, "", "no records are read; the check bolt says why"},
		"disk":    {cfg.Checks.Disk.Check, folder + " has ", "less than checks.disk.min_free (1073741824.0 MiB)"},
		"latency": {settings(6, "degrade"), "", ""},
		"volume":  {settings(6, "degrade"), volume, volume},
		"users":   {cfg.Checks.Dependencies["users"].Check, "404", "404"},
		"rates":   {cfg.Checks.Dependencies["rates"].Check, "404", "404"},
	}
	says := func(err error, words string) bool {
		return err == nil && words == "" || err != nil && words != "" && strings.Contains(err.Error(), words)
	}
	for _, c := range list {
		w := want[c.Name]
		got := config.Check{OnFailure: string(c.OnFailure), Schedule: config.Schedule{Interval: c.Interval, Timeout: c.Timeout,
			FailAfter: c.FailAfter, PassAfter: c.PassAfter, StaleAfter: c.StaleAfter}}
		if c.Cure == "" || (c.Cure == cureOfDependency) != (c.Close != nil) {
			t.Errorf("%s has the cure %q", c.Name, c.Cure)
		}
		if got != w.settings {
			t.Errorf("%s has %+v, want %+v", c.Name, got, w.settings)
		}
		if _, other := cfg.Checks.Dependencies[c.Name]; other != (c.Close != nil) {
			t.Errorf("%s ends its connection: %v, want %v", c.Name, c.Close != nil, other)
		}
		if err := c.Run(t.Context()); !says(err, w.healthy) {
			t.Errorf("%s = %v, want %q", c.Name, err, w.healthy)
		}
	}
	if len(list) != len(want) {
		t.Errorf("%d checks, want %d", len(list), len(want))
	}
	harness.Must(t, os.Remove(cfg.Store.Bolt.Path))
	for _, c := range list {
		err := c.Run(t.Context())
		if c.Name == "bolt" { // it does not fail until the accounts are saved
			harness.Until(10*time.Second, func() bool { err = c.Run(t.Context()); return err != nil })
		}
		if !says(err, want[c.Name].lost) {
			t.Errorf("without the database %s = %v, want %q", c.Name, err, want[c.Name].lost)
		}
	}
}

func TestEveryPhaseOfAConnectionIsBounded(t *testing.T) {
	cfg := config.HTTP{Host: "127.0.0.1", ReadHeaderTimeout: 3 * time.Second, ReadTimeout: 5 * time.Second, IdleTimeout: 7 * time.Second}
	front, err := listenFront(cfg, connections.New(connections.Limits{Connections: 1, Bytes: 1}, slog.New(slog.DiscardHandler)), http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	harness.Must(t, err)
	defer front.close()
	server := front.server
	for name, c := range map[string]struct{ got, want any }{
		"header":         {server.ReadHeaderTimeout, cfg.ReadHeaderTimeout},
		"request":        {server.ReadTimeout, cfg.ReadTimeout},
		"answer":         {server.WriteTimeout, cfg.ReadTimeout + 30*time.Second},
		"silence":        {server.IdleTimeout, cfg.IdleTimeout},
		"header's bytes": {server.MaxHeaderBytes, 16 << 10},
	} {
		if c.got != c.want {
			t.Errorf("%s is bounded by %v, want %v", name, c.got, c.want)
		}
	}
}

func TestBodyThatTakesAllItsTimeIsAnswered(t *testing.T) {
	cfg := config.HTTP{Host: "127.0.0.1", ReadHeaderTimeout: time.Second, ReadTimeout: time.Minute}
	front, err := listenFront(cfg, connections.New(connections.Limits{Connections: 1, Bytes: 1}, slog.New(slog.DiscardHandler)), http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	harness.Must(t, err)
	defer front.close()
	synctest.Test(t, func(t *testing.T) {
		server := &http.Server{ReadTimeout: front.server.ReadTimeout, WriteTimeout: front.server.WriteTimeout,
			Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })}
		l := make(harness.Pipes)
		go server.Serve(l)
		client, conn := net.Pipe()
		l <- conn
		close(l)
		io.WriteString(client, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
		time.Sleep(cfg.ReadTimeout - time.Second)
		io.WriteString(client, "b")
		if resp, err := http.ReadResponse(bufio.NewReader(client), nil); err != nil || resp.StatusCode != 200 {
			t.Errorf("%v, %v; want 200", resp, err)
		}
		client.Close()
	})
}

// A process that ended has let go of everything; so the program runs in this one.
func TestWhatWasOpenedIsClosedWhenRunReturns(t *testing.T) {
	path := newPath(t)
	port := harness.Port(t)
	url := fmt.Sprint("http://127.0.0.1:", port)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before := runtime.NumGoroutine()
	var log harness.Buffer
	exited := make(chan int, 1)
	go func() {
		exited <- run(ctx, nil, []string{"ACCOUNTSERVICE_HTTP_HOST=127.0.0.1", "ACCOUNTSERVICE_HTTP_PORT=" + fmt.Sprint(port),
			"ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:0", "ACCOUNTSERVICE_STORE_BOLT_PATH=" + path}, io.Discard, &log)
	}()
	harness.Must(t, harness.Eventually(20*time.Second, func() error {
		if status, body := harness.Ask("GET", url+"/ready", ""); status != 200 {
			return fmt.Errorf("/ready = %d %s", status, body)
		}
		return nil
	}))
	cancel()
	if code := <-exited; code != 0 || strings.Contains(log.String(), "closing the database") {
		t.Errorf("exit %d:\n%s", code, &log)
	}
	if status, body := harness.Ask("GET", url+"/health", ""); status != 0 {
		t.Errorf("the port still answers %d %s", status, body)
	}
	again, err := boltstore.Open(t.Context(), boltstore.Options{Path: path, MustExist: true, OpenTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatalf("after the stop: %v; want the file free", err)
	}
	storetest.Close(t, again)
	harness.Must(t, harness.Eventually(10*time.Second, func() error {
		if n := runtime.NumGoroutine(); n > before {
			stacks := make([]byte, 1<<16)
			return fmt.Errorf("%d goroutines, %d before:\n%s", n, before, stacks[:runtime.Stack(stacks, true)])
		}
		return nil
	}))
}

type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("ordered panic") }

func TestPanicOfTheProgramIsExit1(t *testing.T) {
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"config", "docs"}, nil, panicking{}, &stderr); code != exitFailed ||
		!strings.Contains(stderr.String(), "accountservice: panic: ordered panic\ngoroutine ") {
		t.Errorf("exit %d: %s; want 1 and the panic with its stack", code, stderr.String())
	}
}

package handlers_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

func TestTraceOfARequestIsInItsLinesOfTheLog(t *testing.T) {
	s := serve(t, func(real store.Store) store.Store {
		return storetest.Faulty{Store: real, OnGet: storetest.Fail(errors.New("ordered")), OnDelete: storetest.Panic}
	})
	for method, line := range map[string]string{"GET": `msg="request failed"`, "DELETE": `msg="request panicked"`, "PUT": "msg=request "} {
		trace := strings.Repeat("a", 31) + map[string]string{"GET": "1", "DELETE": "2", "PUT": "3"}[method]
		s.do(t, method, "/accounts/10000", map[string]string{"PUT": `{"name":"x"}`}[method], "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
		found := false
		for logged := range strings.Lines(s.log.String()) {
			found = found || strings.Contains(logged, line) && strings.Contains(logged, "trace_id="+trace+"\n")
		}
		if !found {
			t.Errorf("no %s with the trace %s in the log:\n%s", line, trace, s.log)
		}
	}
}

func TestMalformedTraceIsNotLogged(t *testing.T) {
	s := serve(t, nil)
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for header, taken := range map[string]bool{
		"00-" + trace + "-" + parent + "-01":                 true,
		"00-" + trace + "-" + parent + "-ff":                 true,
		"01-" + trace + "-" + parent + "-01":                 true,
		"cc-" + trace + "-" + parent + "-01-what-is-to-come": true,
		"":                                   false,
		"ff-" + trace + "-" + parent + "-01": false,
		"00-" + trace + "-" + parent + "-01-more":                    false,
		"cc-" + trace + "-" + parent + "-01.more":                    false,
		"00-" + strings.ToUpper(trace) + "-" + parent + "-01":        false,
		"00-" + trace + "-" + strings.ToUpper(parent) + "-01":        false,
		"0G-" + trace + "-" + parent + "-01":                         false,
		"00-" + trace + "-" + parent + "-0x":                         false,
		"00-" + strings.Repeat("0", 32) + "-" + parent + "-01":       false,
		"00-" + trace + "-" + strings.Repeat("0", 16) + "-01":        false,
		"00-" + trace + "-" + parent + "-1":                          false,
		"00-" + trace[1:] + "-" + parent + "-01":                     false,
		"00-" + trace + "_" + parent + "-01":                         false,
		"00_" + trace + "-" + parent + "-01":                         false,
		"00-" + trace[:30] + "\"x-" + parent + "-01":                 false,
		" 00-" + trace[2:] + "-" + parent + "-01 00-" + trace + "-x": false,
	} {
		before := len(s.log.String())
		s.do(t, "GET", "/accounts/nobody", "", "traceparent", header)
		logged := func() string { return s.log.String()[before:] }
		if !harness.Until(20*time.Second, func() bool { return strings.Contains(logged(), "msg=request ") }) {
			t.Fatal("no line")
		}
		if got := strings.Contains(logged(), "trace_id="); got != taken {
			t.Errorf("%q: logged %v, want %v: %s", header, got, taken, logged())
		}
	}
}

func TestTwoTracesAreNone(t *testing.T) {
	s := serve(t, nil)
	const one = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	s.raw(t, "GET", "GET /accounts/nobody HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTraceparent: "+one+"\r\nTraceparent: "+one+"\r\n\r\n")
	s.Close()
	if log := s.log.String(); strings.Contains(log, "trace_id") || !strings.Contains(log, "msg=request ") {
		t.Errorf("log: %s", log)
	}
}

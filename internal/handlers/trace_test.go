package handlers_test

import (
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

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

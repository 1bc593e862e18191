package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"accountservice/internal/httpcheck"
	"accountservice/tests/harness"
)

func TestLineIsOnePrintableLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "\n",
		"a\nb\r\n\tc":                  "a b c\n",
		"a\x00b\x1b[0m\x7f\u0085c":     "a b [0m c\n",
		"left\u202eright\u2028x\ufeff": "left right x\n",
		"bad \xff\xfe utf-8":           "bad \ufffd\ufffd utf-8\n",
		"grüße, 世界":                    "grüße, 世界\n",
	} {
		if got := secrets(nil).line(in); got != want {
			t.Errorf("line(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLongLineIsCutBetweenCharacters(t *testing.T) {
	for _, unit := range []string{"x", "ü", "世", "🩺", "a世"} {
		for pad := range 4 {
			got := secrets(nil).line(strings.Repeat("y", pad) + strings.Repeat(unit, 5000))
			if len(got) > maxLine || len(got) < maxLine-8 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…\n") {
				t.Errorf("%q: %d bytes, valid %v, ends %q", unit, len(got), utf8.ValidString(got), got[len(got)-8:])
			}
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("plain")
	f.Add("\xf0\x9f")
	f.Add(strings.Repeat("世\n", 600))
	f.Fuzz(func(t *testing.T, in string) {
		got := secrets(nil).line(in)
		if len(got) > maxLine || !utf8.ValidString(got) || strings.IndexByte(got, '\n') != len(got)-1 {
			t.Errorf("line(%q) = %q", in, got)
		}
	})
}

func TestLongTextsLeaveRoomForAllNames(t *testing.T) {
	failures := map[string]string{}
	for i := range 12 {
		failures[fmt.Sprintf("check%02d", i)] = strings.Repeat("long ", 400)
	}
	body, err := json.Marshal(map[string]any{
		"status": "Unavailable", "failures": failures,
		"component": map[string]string{"name": service},
		"checks":    map[string]any{"check07": map[string]string{"status": "failing", "on_failure": "restart"}},
	})
	harness.Must(t, err)
	c := command{component: service, wanted: httpcheck.Status("2xx")}
	got := secrets(nil).line(c.judge(answer{code: 503, body: body}).Error())
	if !strings.HasPrefix(got, "Unavailable: check07 (restart): long") || len(got) > maxLine {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	for name := range failures {
		if !strings.Contains(got, name+":") && !strings.Contains(got, name+" (") {
			t.Errorf("%s is not in %q", name, got)
		}
	}
}

func TestPasswordIsNeverPrinted(t *testing.T) {
	echo := serveFunc(t, echoCredentials)
	address := echo.Listener.Addr().String()
	for _, args := range [][]string{
		{"-url", "http://u:hunter%202@127.0.0.1:" + refusedPort(t)},
		{"-url", "http://u:hunter%202@" + address},
		{"-url", "http://u:hunter%202@" + address, "-component", "x"},
		{"-url", "https://u:hunter%202@" + address},
		{"-url", "http://u:hunter%202@nobody.invalid"},
		{"-url", "ftp://u:hunter%202@" + address},
		{"-url", "http://u:hunter%202@" + address + ":x"},
		{"-url", "http://u:hunter%2@" + address},
		{"-url", "http://u:hunter 2@" + address},
		{"-url", "http://u:1/hunter2@" + address},
		{"-url", "http://u:1#hunter2@" + address},
		{"-url", "unix://u:hunter2@/run/app.sock"},
		{"-url", "http://u:hunter2@127.0.0.1:99999"},
		{"-ulr", "http://u:hunter2@" + address},
		{"-ulr=http://u:hunter2@" + address},
		{"-url:http://u:hunter2@" + address},
		{"---url=http://u:hunter2@" + address},
		{"-port", "http://u:hunter2@" + address},
		{"http://u:hunter2@" + address},
	} {
		out := probed(limit, args, nil).sick(t)
		if strings.Contains(out, "hunter") || strings.Contains(out, "dTpodW50ZXI") {
			t.Errorf("%q prints %q", args, out)
		}
	}
}

func TestPasswordDoesNotChangeTheVerdict(t *testing.T) {
	s := serve(t, 200, healthy)
	for _, password := range []string{"OK", "accountservice", "status", "%7B", "%22"} {
		url := strings.Replace(s.URL, "://", "://u:"+password+"@", 1) + "/health"
		probed(limit, []string{"-url", url, "-component", service}, nil).healthy(t)
	}
}

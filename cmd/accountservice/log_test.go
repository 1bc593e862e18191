package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"accountservice/config"
	"accountservice/tests/harness"
)

func TestDurationsInTheLogHaveUnits(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var log harness.Buffer
		logger, _ := newLogger(config.Log{Level: "info", Format: format}, &log, false)
		logger.Info("x", "took", 1500*time.Millisecond)
		if !regexp.MustCompile(`"?took"?[:=]"?1\.5s`).MatchString(log.String()) {
			t.Errorf("%s: %s", format, log.String())
		}
	}
}

// The line that says that it serves is enough to find the service and its database.
func TestLogSaysWhatIsServed(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t))
	p.Logs(t, `"msg":"serving","url":"`+strings.Replace(p.URL, "127.0.0.1", "localhost", 1)+`","database":"`+p.Path+`","started_in":"`)
	p.NeverLogged(t, `"memory_limit":"none`)
	if !regexp.MustCompile(`"started_in":"[0-9.]+m?s"`).MatchString(p.Log.String()) {
		t.Errorf("no start time with a unit:\n%s", p.Log)
	}
}

func TestLogNamesAnAddressThatIsServed(t *testing.T) {
	t.Parallel()
	p := start(t, newPath(t), "ACCOUNTSERVICE_HTTP_HOST=127.0.0.2")
	p.URL = strings.Replace(p.URL, "127.0.0.1", "127.0.0.2", 1)
	p.Await(t, "/ready", 200)
	p.Logs(t, `"msg":"serving","url":"`+p.URL+`"`)
}

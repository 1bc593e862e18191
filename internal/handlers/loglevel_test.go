package handlers_test

import (
	"log/slog"
	"strings"
	"testing"

	"accountservice/internal/handlers"
	"accountservice/tests/harness"
)

func TestLevelOfTheLogIsChangedAndThatIsLogged(t *testing.T) {
	t.Parallel()
	var text harness.Buffer
	level := new(slog.LevelVar)
	opts := adminOver(handlers.NewLive())
	opts.Level, opts.Log = level, slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: level}))
	s := serveHandler(t, handlers.NewAdmin(opts))
	var got struct{ Level string }
	s.do(t, "GET", "/log-level", "").is(t, 200, &got)
	if got.Level != "info" {
		t.Errorf("at first %+v", got)
	}
	from := "INFO"
	for _, to := range []string{"debug", "error", "warn", "error", "info"} {
		s.do(t, "PUT", "/log-level", `{"level":"`+to+`"}`).is(t, 200, &got)
		if got.Level != to || strings.ToLower(level.Level().String()) != to {
			t.Errorf("%s was ordered, and %+v is answered", to, got)
		}
		if want := `log level changed until the process ends" from=` + from + " to=" + strings.ToUpper(to); !strings.Contains(text.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &text)
		}
		from = strings.ToUpper(to)
	}
	before := strings.Count(text.String(), "log level changed")
	s.do(t, "PUT", "/log-level", `{"level":"info"}`).is(t, 200, &got)
	if strings.Count(text.String(), "log level changed") != before {
		t.Error("no change is logged")
	}
	for _, body := range []string{`{"level":"loud"}`, `{"level":"DEBUG"}`, `{"level":""}`, `{}`, `{"level":"debug","x":1}`, `{"level":5}`} {
		if r := s.do(t, "PUT", "/log-level", body); r.StatusCode != 422 {
			t.Errorf("%s = %d %s", body, r.StatusCode, r.body)
		}
	}
	if level.Level() != slog.LevelInfo {
		t.Errorf("refused orders changed it to %s", level.Level())
	}
}

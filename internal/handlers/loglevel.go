package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/auth"
)

// levels are the names of the levels, as log.level has them.
var levels = []string{"debug", "info", "warn", "error"}

// logOrder is a request, and refuses members that it does not name.
type logOrder struct {
	Level string `json:"level" enum:"debug,info,warn,error" example:"debug" doc:"Least severe line that is written from now on"`
}

type logLevel struct {
	Level string `json:"level" enum:"debug,info,warn,error" doc:"Least severe line that is written"`
}

func (l logOrder) Validate() error {
	if !slices.Contains(levels, l.Level) {
		return unprocessable(InvalidField{Pointer: "#/level", Detail: "must be debug, info, warn or error"})
	}
	return nil
}

type logLevelState struct {
	Body logLevel `nameHint:"LogLevel"`
}

func newLogLevelState(level *slog.LevelVar) *logLevelState {
	return &logLevelState{logLevel{strings.ToLower(level.Level().String())}}
}

func registerLogLevel(e *edge, level *slog.LevelVar) {
	const path = "/log-level"
	register(e, operation{
		id: "get-log-level", method: http.MethodGet, path: path, scope: auth.Admin, summary: "What is logged?",
	}, func(context.Context, *struct{}) (*logLevelState, error) { return newLogLevelState(level), nil })
	register(e, operation{
		id: "put-log-level", method: http.MethodPut, path: path, scope: auth.Admin,
		summary:     "Log more or less until the process ends",
		description: "The next start takes log.level again. At debug every request is a line.",
		body:        &huma.RequestBody{Required: true, Content: jsonOf[logOrder](e.api)},
	}, func(ctx context.Context, in *jsonBody[logOrder]) (*logLevelState, error) {
		setLevel(ctx, e.log.Logger, level, in.value.Level)
		return newLogLevelState(level), nil
	})
}

// setLevel logs the change at the more talkative of both levels, so that it is in the log whatever they are.
func setLevel(ctx context.Context, log *slog.Logger, level *slog.LevelVar, name string) {
	from := level.Level()
	var to slog.Level
	to.UnmarshalText([]byte(name)) // it is one of levels
	if to == from {
		return
	}
	level.Set(min(from, to))
	log.Log(ctx, max(slog.LevelInfo, min(from, to)), "log level changed until the process ends", "from", from, "to", to)
	level.Set(to)
}

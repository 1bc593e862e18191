package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// logEvery is how long failures of one kind are counted, not logged, after one
// was logged: a store that is down fails every request the same way.
const logEvery = 10 * time.Second

// failureLog is the log, and which failures it had lately. Their kinds are few.
type failureLog struct {
	*slog.Logger
	mu   sync.Mutex
	last map[string]logged
}

type logged struct {
	at        time.Time
	notLogged int // since then
}

func newFailureLog(log *slog.Logger) *failureLog {
	return &failureLog{Logger: log, last: make(map[string]logged)}
}

// failed logs what the caller is not told, and returns what it is.
func (l *failureLog) failed(ctx context.Context, operation string, err error) *Problem {
	p := problemOf(err)
	clients := p.Status < 500 || p.Status == http.StatusHTTPVersionNotSupported
	if clients || errors.Is(err, context.Canceled) {
		return p
	}
	if notLogged, due := l.due(operation+p.Type, time.Now()); due {
		l.Error("request failed", append([]any{"operation", operation, "status", p.Status, "err", err,
			"not_logged", notLogged}, namesOf(ctx).attrs()...)...)
	}
	return p
}

// due reports whether to log a failure of this kind now, and how many were not logged since the last that was.
func (l *failureLog) due(kind string, now time.Time) (notLogged int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, is := l.last[kind]
	if is && now.Sub(known.at) < logEvery {
		known.notLogged++
		l.last[kind] = known
		return 0, false
	}
	l.last[kind] = logged{at: now}
	return known.notLogged, true
}

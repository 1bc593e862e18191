package handlers

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// failureLog is the log, and which failures it had lately.
type failureLog struct {
	*slog.Logger
	limiter logLimiter
}

func newFailureLog(log *slog.Logger) *failureLog {
	return &failureLog{Logger: slog.New(identified{log.Handler()})}
}

// failed logs what the caller is not told, and returns what it is.
func (l *failureLog) failed(ctx context.Context, operation string, err error) *Problem {
	p := problemOf(err)
	if p.Status < 500 || errors.Is(err, context.Canceled) {
		return p
	}
	if notLogged, due := l.limiter.due(operation+p.Type, time.Now()); due {
		l.ErrorContext(ctx, "request failed", "operation", operation, "status", p.Status, "err", err, "not_logged", notLogged)
	}
	return p
}

// logEvery is how long failures of one kind are counted, not logged, after one
// was logged: a store that is down fails every request the same way.
const logEvery = 10 * time.Second

// logLimiter remembers which failures were logged lately. Its kinds are few.
type logLimiter struct {
	mu   sync.Mutex
	last map[string]logged
}

type logged struct {
	at        time.Time
	notLogged int // since then
}

// due reports whether to log a failure of this kind now, and how many were not
// logged since the last that was.
func (l *logLimiter) due(kind string, now time.Time) (notLogged int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		l.last = make(map[string]logged)
	}
	known, is := l.last[kind]
	if is && now.Sub(known.at) < logEvery {
		known.notLogged++
		l.last[kind] = known
		return 0, false
	}
	l.last[kind] = logged{at: now}
	return known.notLogged, true
}

package dependency

import (
	"context"
	"io"
	"strings"
)

// newMemcached asks for the version, over memcached's text protocol.
func newMemcached(t *target) question {
	return t.keep(func(_ context.Context, _ *phase, s *session) (link, error) { return memcached{s}, nil })
}

type memcached struct{ *session }

func (m memcached) ask(_ context.Context, at *phase) error {
	*at = query
	if _, err := io.WriteString(m, "version\r\n"); err != nil {
		return err
	}
	line, err := m.line()
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(line, "VERSION "):
		return nil
	case strings.HasPrefix(line, "ERROR Too many open connections"):
		return verdictf("the server has too many connections")
	case strings.HasPrefix(line, "SERVER_ERROR"), strings.HasPrefix(line, "CLIENT_ERROR"),
		strings.HasPrefix(line, "ERROR"):
		return verdictf("the server answers an error")
	}
	return errNotSpoken
}

func (m memcached) goodbye() { io.WriteString(m, "quit\r\n") }

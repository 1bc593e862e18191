package dependency

import (
	"cmp"
	"context"
	"io"
)

// newTCP connects, and for tls verifies the certificate; that is healthy. With expect, the answer must start with
// it, after send was sent, if given: so a process that hangs behind an open port is found. Each run is a new
// connection, for only that shows that the service still accepts.
func newTCP(t *target) question {
	send, expect := t.text("send"), t.text("expect")
	if send != "" && expect == "" {
		t.fault("has option send without expect, what the answer starts with")
	}
	return func(ctx context.Context, at *phase) error {
		s, err := t.connect(ctx, at)
		if err != nil {
			return err
		}
		defer s.Close()
		err = s.during(ctx, func() error {
			if expect == "" {
				return s.refusal(ctx, t.timeout/4)
			}
			return s.converse(at, send, expect)
		})
		return cmp.Or(err, s.warning())
	}
}

func (s *session) converse(at *phase, send, expect string) error {
	*at = request
	if _, err := io.WriteString(s, send); err != nil {
		return err
	}
	*at = waiting
	for _, want := range []byte(expect) {
		switch b, err := s.r.ReadByte(); {
		case err != nil:
			return err
		case b != want:
			return verdictf("the answer is not as expected")
		}
	}
	return nil
}

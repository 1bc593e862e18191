package dependency

import (
	"cmp"
	"context"
	"time"
)

// How long a connection is kept. What stands between drops idle ones without a word (IPVS of a Swarm after
// 15 min). And a connection in use does not show what every new client meets: another certificate or password,
// a name that is gone, a server that no longer accepts.
const (
	maxIdle      = time.Minute
	maxAge       = 5 * time.Minute
	maxWarnedAge = time.Minute // of one that warns: only a new one sees the new certificate
)

const goodbyeTime = 100 * time.Millisecond

// link is a connection on which the service has let us in.
type link interface {
	ask(ctx context.Context, at *phase) error
	goodbye() // before the session is closed; its reads and writes fail after goodbyeTime
}

// keeper asks over one connection, which it keeps between runs. A run makes one attempt to open it. A connection
// that was cut while idle says nothing of the service now, so the run that finds it opens another.
type keeper struct {
	open func(context.Context, *phase) (*session, link, error)
	s    *session // nil if there is no connection
	link link
}

// keep makes a question of what logs in to the service on a new connection. What login started ends when the
// session is closed.
func (t *target) keep(login func(context.Context, *phase, *session) (link, error)) question {
	k := &keeper{open: func(ctx context.Context, at *phase) (s *session, l link, err error) {
		if s, err = t.connect(ctx, at); err != nil {
			return nil, nil, err
		}
		err = s.during(ctx, func() (err error) { l, err = login(ctx, at, s); return err })
		if err != nil {
			s.Close()
		}
		return s, l, err
	}}
	t.hangUp = k.close
	return k.ask
}

func (k *keeper) ask(ctx context.Context, at *phase) error {
	if k.s != nil && k.s.old() {
		k.close()
	}
	if k.s != nil {
		k.s.left.Store(maxAnswer)
		if err := k.use(ctx, at); !wasCut(err) {
			return err
		}
	}
	s, l, err := k.open(ctx, at)
	if err != nil {
		return err
	}
	k.s, k.link = s, l
	return k.use(ctx, at)
}

// use asks over the connection, and closes it if that fails.
func (k *keeper) use(ctx context.Context, at *phase) error {
	err := k.s.during(ctx, func() error { return k.link.ask(ctx, at) })
	err = cmp.Or(err, k.s.warning())
	k.s.used, k.s.warnedLast = time.Now(), isWarning(err)
	if err != nil && !isWarning(err) {
		k.close()
	}
	return err
}

func (k *keeper) close() {
	if k.s != nil {
		k.s.raw.SetDeadline(time.Now().Add(goodbyeTime))
		k.link.goodbye()
		k.s.Close()
		k.s, k.link = nil, nil
	}
}

// old is true if the connection is to be replaced before it is used again.
func (s *session) old() bool {
	most := maxAge
	if s.warnedLast {
		most = maxWarnedAge
	}
	return time.Since(s.used) > maxIdle || time.Since(s.opened) > most
}

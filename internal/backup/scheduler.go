package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"accountservice/internal/bounded"
)

// Options are what NewScheduler needs.
type Options struct {
	Target  Target
	Staging string        // the folder for a file that is made or verified, if the target has none
	Every   time.Duration // from one backup to the next
	MaxAge  time.Duration // of the newest one, for Check
	Keep    int           // how many stay at the target; at least 1

	// State returns the Identity of the database and its last transaction. It does not wait.
	State func() (identity string, transaction uint64)
	// Make writes a verified copy of the database into an empty file. It ends with ctx, whatever the disk does.
	Make func(ctx context.Context, to *os.File) (Content, error)
	// Verify reads all of a backup. An error means that it is damaged, unless ctx has ended; the Content then has the
	// Identity, if that can be read.
	Verify func(ctx context.Context, f *os.File) (Content, error)

	Log *slog.Logger
}

// Content is what a whole backup has.
type Content struct {
	Identity    string // of the database; "" if that has none, or it cannot be read
	Transaction uint64 // the last one
	Size        int64  // in bytes
	Damaged     int    // accounts whose records are damaged
}

// Scheduler makes backups when they are due, removes old ones, and verifies the newest one again: at its start, and
// before it makes the next one, or sooner while Check asks to move some away.
type Scheduler struct {
	Options
	now      func() time.Time
	patience time.Duration // remoteTimeout

	// of Run alone
	there    []Backup           // at the target, as look found it
	verdicts map[string]verdict // of backups, by name
	logged   map[string]bool    // backups that leave has logged
	unread   string             // the newest backup, if it could not be verified
	whole    string             // the newest backup, if it was verified before a try that failed, or while asksToMove
	wholeAt  time.Time          // when it was
	begun    time.Time          // the last backup that was made
	doubtful bool               // a backup was found damaged, and none was read back whole since then

	mu     sync.Mutex
	status status
}

// NewScheduler returns a Scheduler that does nothing before Run.
func NewScheduler(o Options) *Scheduler {
	return &Scheduler{Options: o, now: time.Now, patience: remoteTimeout,
		verdicts: make(map[string]verdict), logged: make(map[string]bool)}
}

const (
	firstRetry = time.Minute // after a failure, at most; then twice as long each time
	lastRetry  = 15 * time.Minute
	// remoteTimeout bounds a listing and a removal, with their tries.
	remoteTimeout = 5 * time.Minute
	// maxAhead is how far the time of a backup may lie in the future.
	maxAhead = time.Minute
	// maxOthers is how many backups of another database are read in search of the newest one of this: all can be many.
	maxOthers = 2
)

// Run makes backups until ctx ends. It does not wait then for a disk that does not answer.
func (s *Scheduler) Run(ctx context.Context) {
	for retry := min(firstRetry, s.Every); ; {
		s.note(func(st *status) { st.trying = s.now() })
		listed, err := s.look(ctx)
		if err != nil && ctx.Err() == nil {
			s.failed(err)
		}
		if listed && ctx.Err() == nil && !s.now().Before(s.due()) {
			if err = s.backUp(ctx); err != nil && ctx.Err() == nil {
				s.failed(err)
			}
		}
		s.note(func(st *status) { st.trying = time.Time{} })
		var again time.Time
		switch {
		case err != nil:
			again, retry = s.now().Add(retry), min(2*retry, lastRetry)
		case s.asksToMove():
			again, retry = s.now().Add(min(lastRetry, s.due().Sub(s.now()))), min(firstRetry, s.Every)
		default:
			retry, s.whole = min(firstRetry, s.Every), ""
		}
		if !s.rest(ctx, again) {
			return
		}
	}
}

// rest waits until this time, or if it is zero until the next backup is due. Each minute it asks the clock, which may be
// set, or have gone on while the machine slept. It reports false if ctx has ended.
func (s *Scheduler) rest(ctx context.Context, until time.Time) bool {
	for ctx.Err() == nil {
		next := until
		if until.IsZero() {
			next = s.due()
		}
		left := next.Sub(s.now())
		if left <= 0 {
			return true
		}
		select {
		case <-time.After(min(left, time.Minute)):
		case <-ctx.Done():
		}
	}
	return false
}

// asksToMove reports whether Check asks for backups to be moved away: then the next look must not be hours later.
func (s *Scheduler) asksToMove() bool {
	st := s.known()
	return st.other.Name != "" || len(st.left) > 0 || s.isAhead(st.newest)
}

// isAhead reports whether the time of a backup is in the future: a clock was wrong.
func (s *Scheduler) isAhead(b Backup) bool { return b.Time.After(s.now().Add(maxAhead)) }

// due is when the next backup is to be made. The time of a backup of the future says nothing.
func (s *Scheduler) due() time.Time {
	newest := s.known().newest
	if s.isAhead(newest) {
		return s.begun.Add(s.Every)
	}
	return newest.Time.Add(s.Every)
}

// look lists the target and verifies the newest backup again. A damaged one, or one that isOther, does not count; then
// the one before it is the newest, and without any a new one is due. It reads at most maxOthers to find that they are of
// another database, and then looks only at those that are known. One that cannot be verified counts, because its name
// says that it was verified once; err says why.
func (s *Scheduler) look(ctx context.Context) (listed bool, err error) {
	s.unread = ""
	list, err := s.list(ctx)
	if err != nil {
		return false, err
	}
	s.there = list
	s.note(func(st *status) { st.left = st.left.in(list) })
	identity, transaction := s.State()
	isDamaged, others := false, 0
	for _, b := range list {
		v, verified := s.verdicts[b.Name]
		if v.damaged || s.isOther(b, identity, transaction) || !verified && others == maxOthers {
			continue
		}
		s.found(b, !verified)
		damage, err := s.verifyNewest(ctx, b)
		if err != nil {
			s.unread = b.Name
			s.found(b, false)
			return true, fmt.Errorf("the newest backup, %s, cannot be verified: %w", b.Name, err)
		}
		if damage == nil && s.isOther(b, identity, transaction) {
			others++
			continue
		}
		if damage == nil {
			s.found(b, false)
			other := s.newestOther(list, identity, transaction)
			recovered := !isDamaged && s.now().Before(s.due()) // what failed was not the making of one
			s.note(func(st *status) {
				if st.other = other; recovered {
					st.failure = nil
				}
			})
			return true, nil
		}
		isDamaged, s.doubtful = true, true
		s.failed(fmt.Errorf("the backup %s is damaged and does not count: %w", b.Name, damage))
	}
	s.found(Backup{}, false)
	s.note(func(st *status) { st.other = s.newestOther(list, identity, transaction) })
	return true, nil
}

func (s *Scheduler) list(ctx context.Context) ([]Backup, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	return s.Target.List(ctx)
}

// verifyNewest is verify of the newest backup, which it reads once in Every if tries fail after it.
func (s *Scheduler) verifyNewest(ctx context.Context, b Backup) (damage, err error) {
	if b.Name == s.whole && s.now().Before(s.wholeAt.Add(s.Every)) {
		return nil, nil
	}
	damage, err = s.verify(ctx, b)
	if damage == nil && err == nil {
		s.whole, s.wholeAt = b.Name, s.now()
	}
	return damage, err
}

// verify reads all of a backup, and notes what it has or that it is damaged. err says why its state is not known.
func (s *Scheduler) verify(ctx context.Context, b Backup) (damage, err error) {
	found, err := bounded.Call(ctx, func() (reading, error) { return s.read(ctx, b) })
	switch {
	case err != nil:
		return nil, err
	case found.damage != nil:
		identity := cmp.Or(found.content.Identity, s.verdicts[b.Name].Identity) // from when it was whole
		s.verdicts[b.Name] = verdict{Content{Identity: identity}, true}
	default:
		s.verdicts[b.Name] = verdict{found.content, false}
	}
	return found.damage, nil
}

// reading is what a reading of a backup found.
type reading struct {
	content Content
	damage  error
}

func (s *Scheduler) read(ctx context.Context, b Backup) (found reading, err error) {
	from, err := s.Target.Get(ctx, b.Name)
	if err != nil {
		return found, err
	}
	defer from.Close()
	f, isFile := from.(*os.File)
	if !isFile {
		if f, err = fetch(ctx, s.staging(), from, b.Size); err != nil {
			return found, err
		}
		defer Discard(f)
	}
	found.content, found.damage = s.Verify(ctx, f)
	return found, ctx.Err()
}

func (s *Scheduler) staging() string { return cmp.Or(s.Target.Staging(), s.Staging) }

// backUp makes a backup, and removes those beyond Keep.
func (s *Scheduler) backUp(ctx context.Context) error {
	begun, before := s.now(), s.known().newest
	f, err := Stage(ctx, s.staging())
	if err != nil {
		return err
	}
	defer Discard(f)
	content, err := s.Make(ctx, f)
	if err != nil {
		return err
	}
	at := begun
	if last := before.Time; !at.Truncate(time.Second).After(last) { // the clock was ahead then
		at = last.Add(time.Second)
	}
	for slices.ContainsFunc(s.there, func(b Backup) bool { return b.Name == NameOf(at, content.Transaction) }) {
		at = at.Add(time.Second) // the name is that of a backup of another database
	}
	made, _ := ParseName(NameOf(at, content.Transaction))
	made.Size = content.Size
	unlisted := s.Target.Put(ctx, made.Name, f)
	if unlisted != nil && !errors.Is(unlisted, ErrNotListed) {
		return unlisted
	}
	s.verdicts[made.Name], s.begun = verdict{content, false}, begun
	s.note(func(st *status) {
		st.newest, st.verifying, st.failure = made, false, nil
		st.succeeded++
	})
	s.Log.Info("backup made", "backup", made.Name, "target", s.Target.String(), "bytes", made.Size,
		"took", s.now().Sub(begun).Round(time.Millisecond).String())
	if unlisted != nil { // so no old ones can be removed
		return unlisted
	}
	if content.Damaged > 0 {
		s.Log.Warn("no old backup is removed: the newest has damaged accounts, and an older one may have them whole",
			"backup", made.Name, "accounts", content.Damaged)
		return nil
	}
	switch damage, err := s.prune(ctx, made); {
	case damage != nil:
		s.found(before, false)
		return fmt.Errorf("the backup %s is damaged and does not count: %w", made.Name, errors.Join(damage, err))
	case err != nil && ctx.Err() == nil:
		s.failed(fmt.Errorf("the backup %s is made, and not all old ones are removed: %w", made.Name, err))
	}
	return nil
}

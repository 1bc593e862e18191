package backup

import (
	"context"
	"fmt"
	"time"

	"accountservice/internal/warning"
)

// status is what a Scheduler knows.
type status struct {
	listed    bool   // the target has been listed
	newest    Backup // that is whole, as far as is known; zero for none
	verifying bool   // newest is being verified for the first time since the start
	other     Backup // the newest one with changes that the database does not have; zero for none
	left      leftovers
	trying    time.Time // since when a try is under way; zero if none is
	failure   error     // of the last try; nil after a success
	failures  int       // since the start
	succeeded int
}

func (s *Scheduler) note(change func(*status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

// found notes the newest backup at the target, or none, and whether it is being verified.
func (s *Scheduler) found(newest Backup, verifying bool) {
	s.note(func(st *status) { st.listed, st.newest, st.verifying = true, newest, verifying })
}

func (s *Scheduler) failed(err error) {
	s.note(func(st *status) { st.failure, st.failures = err, st.failures+1 })
	s.Log.Error("backup failed", "target", s.Target.String(), "err", err)
}

func (s *Scheduler) known() status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Line says in one line for people which backup is the newest.
func (s *Scheduler) Line() string {
	st := s.known()
	newest := st.newest
	switch {
	case newest.Name == "" && !st.listed:
		return "The backups are not listed yet."
	case newest.Name == "":
		return "No backup yet."
	}
	age := s.now().Sub(newest.Time).Round(time.Second)
	if age < -maxAhead {
		return fmt.Sprintf("Last backup %s, whose time is in the future, %s.", newest.Name, size(newest.Size))
	}
	return fmt.Sprintf("Last backup %s, %s ago, %s.", newest.Name, max(age, 0), size(newest.Size))
}

// Check fails when the newest whole backup is older than MaxAge or of the future, or when there is none. While the
// first one is being made, that is a warning. So are a failure of the last try alone, a newest backup that is not
// verified yet since the start, backups with changes that the database does not have, and old ones that are left. It
// asks nothing of the target.
func (s *Scheduler) Check(context.Context) error {
	st := s.known()
	because := ""
	if st.failure != nil {
		because = "; the last try failed: " + st.failure.Error()
	}
	tries, trying := !st.trying.IsZero(), s.now().Sub(st.trying)
	if tries && trying > s.patience {
		because += fmt.Sprintf("; a try is under way for %s: does %s answer?", trying.Round(time.Second), s.Target)
	}
	age := s.now().Sub(st.newest.Time)
	last := fmt.Sprintf("the newest backup, %s, is %s old and has %s", st.newest.Name, age.Round(time.Second),
		size(st.newest.Size))
	none := fmt.Sprintf("there is no whole backup in %s", s.Target)
	if st.other.Name != "" {
		none += fmt.Sprintf(" but those of another database, or of a later state of this one (newest: %s)", st.other.Name)
	}
	switch {
	case st.newest.Name == "" && !st.listed && st.failure == nil:
		return warning.Errorf("the backups in %s are not listed yet", s.Target)
	case st.newest.Name == "" && !st.listed:
		return fmt.Errorf("no backup is known%s", because)
	case st.newest.Name == "" && st.failure == nil && tries && trying <= s.patience:
		return warning.Errorf("%s yet: one is being made", none)
	case st.newest.Name == "":
		return fmt.Errorf("%s%s", none, because)
	case age < -maxAhead:
		return fmt.Errorf("the newest backup is %s: its time is in the future, so a clock was wrong; its age is not known; "+
			"set the clock, and move away the backups of the future%s", st.newest.Name, because)
	case age > s.MaxAge:
		return fmt.Errorf("%s, older than backup.max_age (%s)%s", last, s.MaxAge, because)
	case st.verifying:
		return warning.Errorf("%s; it is being read to verify it%s", last, because)
	case st.failure != nil:
		return warning.Errorf("%s%s", last, because)
	case st.other.Name != "":
		return warning.Errorf("backups in %s have changes that this database does not have (newest: %s); they are kept: "+
			"restore one, or move them away", s.Target, st.other.Name)
	case len(st.left) > 0:
		return warning.Errorf("%s", st.left)
	}
	return nil
}

func size(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", (bytes+1023)>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}

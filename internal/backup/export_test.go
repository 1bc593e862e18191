package backup

import "time"

// PatienceForTest sets how long a target may take to answer.
func (s *Scheduler) PatienceForTest(d time.Duration) { s.patience = d }

// MadeForTest is how many backups were made.
func (s *Scheduler) MadeForTest() int { return s.known().succeeded }

// NewestForTest is the newest backup that is whole, as far as is known, or none.
func (s *Scheduler) NewestForTest() Backup { return s.known().newest }

// SetForwardForTest sets the clock of the Scheduler forward by as much as by is when it is asked.
func (s *Scheduler) SetForwardForTest(by func() time.Duration) {
	s.now = func() time.Time { return time.Now().Round(0).Add(by()) }
}

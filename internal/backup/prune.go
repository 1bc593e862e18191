package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// verdict is what is known of a backup that was made or verified.
type verdict struct {
	Content // of a damaged backup only the Identity, if that could be read
	damaged bool
}

// prune removes a whole backup if there are Keep newer whole ones, and a damaged one if there are Keep newer ones. It
// only removes backups that continues: made, the newest whole one, is of the same database and has all their changes.
// It reads a backup of an earlier process before it decides. A backup that it leaves for this reason is logged once.
// damage is that of made, which is read back if no other that was read would stay, or if the target is in doubt.
func (s *Scheduler) prune(ctx context.Context, made Backup) (damage, err error) {
	list, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	var faults []error
	kept, newer := 0, 0
	if s.Keep == 1 || s.doubtful {
		if damage, err = s.verify(ctx, made); err != nil {
			kept = -1 // the one before stays, and no more: the place may never give one back
			faults = append(faults, fmt.Errorf("it cannot be read back: %w", err))
		}
		s.doubtful = s.doubtful && (damage != nil || err != nil)
	}
	var left leftovers
	identity := s.verdicts[made.Name].Identity
	for _, b := range list {
		beyond := b.Name != made.Name && (kept >= s.Keep || newer >= s.Keep && s.verdicts[b.Name].damaged)
		var unreadable error
		if _, known := s.verdicts[b.Name]; beyond && !known && b.Transaction <= made.Transaction {
			_, unreadable = s.verify(ctx, b)
		}
		damaged := s.verdicts[b.Name].damaged
		switch {
		case !damaged && (s.isOther(b, identity, made.Transaction) || b.Name == s.unread):
		case beyond && s.continues(b, made):
			faults = append(faults, s.remove(ctx, b))
		case beyond:
			left = append(left, b)
			s.leave(b, unreadable)
		default:
			newer++
			if !damaged {
				kept++
			}
		}
	}
	other := s.newestOther(list, identity, made.Transaction)
	s.note(func(st *status) { st.other, st.left = other, left })
	return damage, errors.Join(faults...)
}

// leave logs once that a backup is not removed, and why.
func (s *Scheduler) leave(b Backup, unreadable error) {
	if s.logged[b.Name] {
		return
	}
	s.logged[b.Name] = true
	if unreadable == nil {
		unreadable = errors.New("it is damaged, and not known to be of this database")
	}
	s.Log.Warn("an old backup is not removed", "backup", b.Name, "err", unreadable)
}

// leftovers are the backups that would be removed if they were known to be of this database, the newest first.
type leftovers []Backup

func (l leftovers) in(list []Backup) leftovers {
	return slices.DeleteFunc(slices.Clone(l), func(b Backup) bool { return !slices.Contains(list, b) })
}

func (l leftovers) String() string {
	bytes := int64(0)
	for _, b := range l {
		bytes += b.Size
	}
	return fmt.Sprintf("backups beyond backup.keep that cannot be read, or are damaged and not known to be of this "+
		"database, are not removed: %d with %s, the newest is %s; check them with accountservice verify, and move them away",
		len(l), size(bytes), l[0].Name)
}

func (s *Scheduler) remove(ctx context.Context, b Backup) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	delete(s.verdicts, b.Name)
	return s.Target.Remove(ctx, b.Name)
}

// continues reports whether made is known to be the same or a later state of the database that b is of.
func (s *Scheduler) continues(b, made Backup) bool {
	v, known := s.verdicts[b.Name]
	return known && b.Transaction <= made.Transaction && v.Identity == s.verdicts[made.Name].Identity &&
		(!v.damaged || v.Identity != "")
}

// isOther is true for a backup that has changes which this state of a database does not have: it is of another database,
// as after the loss of a volume, or of a later state of it. Without an identity the transaction alone tells.
func (s *Scheduler) isOther(b Backup, identity string, transaction uint64) bool {
	of := s.verdicts[b.Name].Identity
	return b.Transaction > transaction || of != "" && identity != "" && of != identity
}

// newestOther returns the first in list that isOther, or none.
func (s *Scheduler) newestOther(list []Backup, identity string, transaction uint64) Backup {
	for _, b := range list {
		if !s.verdicts[b.Name].damaged && s.isOther(b, identity, transaction) {
			return b
		}
	}
	return Backup{}
}

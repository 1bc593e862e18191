package notice

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"accountservice/internal/excerpt"
	"accountservice/internal/warning"
)

const (
	// stopsKept is how long after a stop the later starts log it.
	stopsKept = 24 * time.Hour
	// maxStops is how many different stops are kept: the first one and the newest.
	maxStops = 8
	// maxReason is the longest kept reason in bytes, maxWarning the longest warning, which package checks would cut.
	maxReason, maxWarning = 1 << 10, 512
	// maxAhead is how far the time of a stop may lie in the future. Beyond that a clock was wrong, and the stop is
	// ignored.
	maxAhead = time.Minute
)

// Stop is why the service stopped, once or several times.
type Stop struct {
	ExitCode int       `json:"exit_code"`
	Reason   string    `json:"reason"` // at most 1 KiB
	Times    int       `json:"times"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

// summary says when the service stopped, and how; its reason follows.
func (s Stop) summary() string {
	when := "at " + s.First.Format(time.RFC3339)
	if s.Times > 1 {
		when = fmt.Sprintf("%d times from %s to %s", s.Times, s.First.Format(time.RFC3339), s.Last.Format(time.RFC3339))
	}
	return fmt.Sprintf("it stopped %s with exit code %d: ", when, s.ExitCode)
}

// stopsAt is the file with the stops of a service whose database is at path.
func stopsAt(path string) string { return path + ".stops" }

// Stops returns the stops of the last 24 hours of a service whose database is at path, ordered by their first time.
func Stops(path string, now time.Time) (list []Stop, err error) {
	_, err = Read(stopsAt(path), &list)
	return slices.DeleteFunc(list, func(s Stop) bool {
		age := now.Sub(s.Last)
		return age > stopsKept || age < -maxAhead
	}), err
}

// AddStop records that the service whose database is at path stops at now. A file that cannot be read is replaced.
func AddStop(path string, exitCode int, reason string, now time.Time) error {
	reason = excerpt.Ends(strings.ToValidUTF8(reason, "\uFFFD"), maxReason) // as JSON gives it back
	now = now.UTC().Truncate(time.Second)
	list, err := Stops(path, now)
	if err != nil {
		list = nil
	}
	known := slices.IndexFunc(list, func(s Stop) bool { return s.ExitCode == exitCode && s.Reason == reason })
	if known < 0 {
		known = len(list)
		list = append(list, Stop{ExitCode: exitCode, Reason: reason, First: now})
	}
	list[known].Times++
	list[known].Last = now
	if len(list) > maxStops {
		list = slices.Delete(list, 1, 2) // not the first one: it may have caused the others
	}
	return Write(stopsAt(path), list)
}

// CheckStops returns a check that warns of stops until the last of them is 24 hours old. list must not be empty. now
// returns the current time.
func CheckStops(list []Stop, now func() time.Time) func(context.Context) error {
	words := wordsOf(list)
	last := slices.MaxFunc(list, func(a, b Stop) int { return a.Last.Compare(b.Last) }).Last
	return func(context.Context) error {
		if now().Sub(last) > stopsKept {
			return nil
		}
		return warning.Errorf("%s", words)
	}
}

// wordsOf tells of the first and the last of these stops in at most maxWarning bytes. If the reasons do not fit, the
// last one, which is newer, has two thirds of the room.
func wordsOf(list []Stop) string {
	first, last := list[0], list[len(list)-1]
	if len(list) == 1 {
		return first.summary() + excerpt.Ends(first.Reason, maxWarning-len(first.summary()))
	}
	between := "; "
	if len(list) > 2 {
		between = fmt.Sprintf("; %d other reasons are in the log; ", len(list)-2)
	}
	room := maxWarning - len(first.summary()+between+last.summary())
	return first.summary() + excerpt.Ends(first.Reason, max(room/3, room-len(last.Reason))) +
		between + last.summary() + excerpt.Ends(last.Reason, max(room-room/3, room-len(first.Reason)))
}

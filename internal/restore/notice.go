package restore

import (
	"context"
	"fmt"
	"time"

	"accountservice/internal/notice"
	"accountservice/internal/warning"
)

// Notice is left beside a database that a start restored by itself, until somebody acknowledges it.
type Notice struct {
	Backup   string    `json:"backup"`   // its name
	Made     time.Time `json:"made"`     // when it was made
	Restored time.Time `json:"restored"` // when it was restored
}

func (n Notice) String() string {
	before := fmt.Sprintf("up to %s before", n.Restored.Sub(n.Made).Round(time.Second))
	if n.Made.After(n.Restored) {
		before = "which was in the future because a clock was wrong"
	}
	return fmt.Sprintf("the database was not there at %s, and was restored from %s: changes made after %s, %s, can be missing",
		n.Restored.Format(time.RFC3339), n.Backup, n.Made.Format(time.RFC3339), before)
}

// noticeAt is the file that says that the database at path was restored.
func noticeAt(path string) string { return path + ".restored" }

// ReadNotice returns the notice about the database at path, or nil if there is none.
func ReadNotice(path string) (*Notice, error) {
	var n Notice
	if found, err := notice.Read(noticeAt(path), &n); !found {
		return nil, err
	}
	return &n, nil
}

// Leave writes the notice, with the owner of the folder, and waits until the disk has it.
func (n Notice) Leave(path string) error { return notice.Write(noticeAt(path), n) }

// Acknowledge removes the notice about the database at path. Without one it does nothing.
func Acknowledge(path string) error { return notice.Remove(noticeAt(path)) }

// Check warns while there is a notice about the database at path.
func Check(path string) func(context.Context) error {
	return func(context.Context) error {
		n, err := ReadNotice(path)
		switch {
		case err != nil:
			return fmt.Errorf("the notice that a start restored the database can't be read: %w; remove it by accountservice "+
				"restore --acknowledge", err)
		case n == nil:
			return nil
		}
		return warning.Errorf("%s; acknowledge it with accountservice restore --acknowledge", n)
	}
}

// Package warning has the error of a check that passes with a warning, a checks.Warner. It does not import checks: stores
// return warnings, and know no checks.
package warning

import "fmt"

// Error is a warning. It does not unwrap: no caller takes it for the failure that it tells of.
type Error struct{ error }

// Errorf formats a warning as fmt.Errorf does. Operators read it, so it is one line without secrets.
func Errorf(format string, args ...any) error { return Error{fmt.Errorf(format, args...)} }

// Warning returns the text.
func (e Error) Warning() string { return e.Error() }

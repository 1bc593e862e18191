//go:build !linux

package connections

// pending is not known here.
func (c *Conn) pending() bool { return false }

//go:build !linux

package connections

import "net"

// pending is not known here.
func pending(net.Conn) bool { return false }

// queued is not known here.
func queued(net.Conn) (int64, bool) { return 0, false }

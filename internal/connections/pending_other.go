//go:build !linux

package connections

import "net"

// pending is not known here.
func pending(net.Conn) bool { return false }

// queued is not known here.
func queued(net.Conn) (int64, bool) { return 0, false }

// refuse is not possible here.
func refuse(net.Listener) bool { return false }

// queuing is not known here.
func queuing(net.Listener) bool { return false }

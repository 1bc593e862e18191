//go:build linux

package ha

import (
	"syscall"
	"testing"
)

// round is one failure of the primary and its end: the cluster is whole again when play returns. careless is the ledger
// of clients that take writes for durable which only the primary has.
type round struct {
	name string
	play func(t *testing.T, c *cluster, careless *ledger)
}

// doomed is how many acknowledgements careless clients must get from a primary without its standbys. It is more than
// they have writes on their way at once, which may have reached a standby: so some of these are certain to be on the
// primary alone. Other clients meanwhile give up and repeat their writes.
const doomed = 30

var rounds = []round{
	{"kill -9 of the primary with replication cut", killCut},
	{"SIGSTOP of the primary", stop},
	{"network cut between primary and standbys", cutStandbys},
	{"primary cut off from standbys and etcd, not from its clients", isolate},
}

func addrs(all []*machine) (list []string) {
	for _, m := range all {
		list = append(list, m.addr)
	}
	return list
}

// killCut makes the primary commit what no standby gets, and then loses it.
func killCut(t *testing.T, c *cluster, careless *ledger) {
	primary, standbys := c.primary(t)
	primary.cut(t, addrs(standbys)...)
	careless.awaitMore(t, doomed)
	primary.kill(t)
	c.successor(t, primary)
	primary.start(t) // with its cuts gone
	c.whole(t)
}

// stop freezes the primary until another one has taken over, and lets it go on with what it believes.
func stop(t *testing.T, c *cluster, _ *ledger) {
	primary, _ := c.primary(t)
	primary.signal(t, syscall.SIGSTOP)
	c.successor(t, primary)
	primary.signal(t, syscall.SIGCONT)
	c.whole(t)
}

// cutStandbys keeps the primary where it is: it can't acknowledge anything until the network is back.
func cutStandbys(t *testing.T, c *cluster, careless *ledger) {
	primary, standbys := c.primary(t)
	primary.cut(t, addrs(standbys)...)
	careless.awaitMore(t, doomed)
	primary.heal(t)
	c.whole(t)
}

// isolate lets clients reach a primary that has lost its office.
func isolate(t *testing.T, c *cluster, _ *ledger) {
	primary, standbys := c.primary(t)
	primary.cut(t, append(addrs(standbys), etcdAddr)...)
	c.successor(t, primary)
	primary.heal(t)
	c.whole(t)
}

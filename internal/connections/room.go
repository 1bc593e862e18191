package connections

import (
	"cmp"
	"math"
	"slices"
	"time"
)

const (
	// spare is the part of a limit that is freed beyond it, so that not each new connection has to look for another.
	spare = 1.0 / 32
	// reserve is the part of a limit by which it may be passed before a connection is closed that waits for the service.
	reserve = 1.0 / 8
	// silent multiplies the cost of a connection on which the client never sent a byte, so that a flood of those closes
	// its own connections first.
	silent = 50
	// quietTime is how long nothing is looked for after nothing was found.
	quietTime = 5 * time.Millisecond
	// settleTries is how many milliseconds a client waits for those that wait for the service.
	settleTries = 25
)

// settle makes room for what the caller is about to hold. It waits, for a moment at most, until the service has served
// those that wait for it, and until those that were closed have let go of their memory.
func (p *Pool) settle() {
	for range settleTries {
		p.makeRoom(false)
		if p.tolerable(float64(p.count.Load()), float64(p.held.Load()+p.leaving.Load())) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	p.makeRoom(true)
}

func (p *Pool) over() bool { return p.count.Load() > p.most.Load() || p.held.Load() > p.bytes }

// tolerable is true if so many connections, or so many bytes, are no reason to close any that waits for the service.
func (p *Pool) tolerable(count, held float64) bool {
	return count <= float64(p.most.Load())*(1+reserve) && held <= float64(p.bytes)*(1+reserve)
}

// makeRoom closes connections until the limits hold, and returns how many: those that the service waits for, and the
// others only by force.
func (p *Pool) makeRoom(force bool) int {
	if !p.over() || !p.evicting.TryLock() {
		return 0
	}
	defer p.evicting.Unlock()
	if !force && time.Now().Before(p.quiet) {
		return 0
	}
	victims := p.victims(force)
	for _, v := range victims {
		v.abort()
	}
	p.totals.room.Add(int64(len(victims)))
	if len(victims) == 0 {
		p.quiet = time.Now().Add(quietTime)
	}
	return len(victims)
}

// victims are the connections to close, and the streams to cut of others.
func (p *Pool) victims(force bool) (victims []victim) {
	// rounded up: a limit below 32 connections has no room for a spare one
	most, bytes := math.Ceil(float64(p.most.Load())*(1-spare)), float64(p.bytes)*(1-spare)
	count, held := float64(p.count.Load()), float64(p.held.Load())
	closing := make(map[*Conn]bool)
	choose := func(c candidate) (enough bool) {
		if count <= most && held <= bytes {
			return true
		}
		s, is := c.victim.(*stream)
		switch {
		case !is:
			closing[c.victim.(*Conn)] = true
			count--
		case closing[s.conn] || held <= bytes: // a stream less is no connection less
			return false
		}
		victims = append(victims, c.victim)
		held -= c.held
		return false
	}
	others := make(map[turn][]candidate)
	for _, c := range p.ranked() {
		if turn := c.turn(); turn != clients {
			others[turn] = append(others[turn], c)
		} else if choose(c) {
			return victims
		}
	}
	if !force || p.tolerable(count, float64(p.held.Load()+p.leaving.Load())) {
		return victims
	}
	for _, c := range p.last(others[unclear], others[unread], others[services]) {
		if choose(c) {
			break
		}
	}
	return victims
}

// last returns, in their order, the connections that are closed by force alone. Those whose requests are on their way, as
// of a probe, come last if they are few, and first in a flood.
func (p *Pool) last(unclear, unread, services []candidate) []candidate {
	switch {
	case p.few(slices.Concat(unclear, unread)):
		return slices.Concat(services, unread, unclear)
	case p.few(unclear):
		return slices.Concat(unread, unclear, services)
	}
	return slices.Concat(unclear, unread, services)
}

// few is true if these connections are no flood, and do not hold much of the memory, as uploads can: closing them would
// not make enough room.
func (p *Pool) few(all []candidate) bool {
	held := 0.0
	for _, c := range all {
		held += c.held
	}
	const part = reserve + spare // that is freed by force
	return float64(len(all)) <= float64(p.most.Load())*part && held <= float64(p.bytes)*part
}

// victim is a connection, or a stream of one.
type victim interface {
	turn() turn
	abort()
}

// candidate is a victim as it was in one moment.
type candidate struct {
	victim
	held, cost float64 // memory; memory times time, and more where the client never sent a byte
}

// ranked returns all connections, and the streams that wait for their client, with the one to close first at the front.
// A connection costs at least what its streams do.
func (p *Pool) ranked() []candidate {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, now := make([]candidate, 0, len(p.open)), p.now()
	for c := range p.open {
		all = c.appendCandidates(all, now)
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.cost, a.cost) })
	return all
}

// appendCandidates adds the connection, and behind it its streams that wait for the client.
func (c *Conn) appendCandidates(all []candidate, now int64) []candidate {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := len(all)
	all = append(all, candidate{victim: c, held: float64(c.pool.each + c.sum)})
	cost := float64(c.pool.each+c.in+c.out) * float64(now-c.since.Load())
	for s := range c.streams {
		held := float64(s.in + s.out)
		its := held * float64(now-s.since.Load())
		cost += its
		if s.turn() == clients {
			all = append(all, candidate{s, held, its})
		}
	}
	if !c.spoke.Load() {
		cost *= silent
	}
	all[at].cost = cost
	return all
}

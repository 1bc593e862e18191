package config

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// closeTime is what is left after the drain to stop the checks and close the store.
const closeTime = 2 * time.Second

// term is one value of a rule, and what to say of it if it breaks the rule.
type term struct {
	key   string
	value any
	says  string
}

// rule reports a broken rule once, at the first of its terms that the operator
// set: that is the value to change. It says nothing of a value that is no value.
func (l *loader) rule(holds bool, terms ...term) {
	bad := func(t term) bool { return l.isBad(t.key) }
	set := func(t term) bool { return l.origins[t.key].set() }
	if holds || slices.ContainsFunc(terms, bad) {
		return
	}
	t := terms[max(0, slices.IndexFunc(terms, set))]
	from := l.origins[t.key]
	l.fault(t.key, from.String(), fmt.Sprintf("%s %s %s", show(format(t.value)), from.from(), t.says))
}

// validate asks the rules between values: those of one value are in its tags.
func (l *loader) validate(c Config) {
	l.shutdownFits(c.HTTP)
	l.headerBeforeBody(c.HTTP)
	l.adminIsApart(c.Admin, c.HTTP)
	root := Check{
		Interval: c.Checks.Interval, Timeout: c.Checks.Timeout,
		FailAfter: c.Checks.FailAfter, StaleAfter: c.Checks.StaleAfter,
	}
	l.schedule("checks", root)
	l.schedule("checks.bolt", c.Checks.Bolt.Check)
	l.schedule("checks.records", c.Checks.Records)
	l.schedule("checks.disk", c.Checks.Disk.Check)
	for _, name := range slices.Sorted(maps.Keys(c.Checks.Dependencies)) {
		l.schedule("checks.dependencies."+name, c.Checks.Dependencies[name].Check)
	}
}

func (l *loader) shutdownFits(h HTTP) {
	need := h.DrainDelay + h.ShutdownTimeout + closeTime
	tooLong := fmt.Sprintf("is too long: http.drain_delay + http.shutdown_timeout + %v is %s and must be at most http.stop_grace_period %s",
		closeTime, formatDuration(need), formatDuration(h.StopGracePeriod))
	l.rule(need <= h.StopGracePeriod,
		term{"http.drain_delay", h.DrainDelay, tooLong},
		term{"http.shutdown_timeout", h.ShutdownTimeout, tooLong},
		term{"http.stop_grace_period", h.StopGracePeriod, fmt.Sprintf("must be at least %s: http.drain_delay %s + http.shutdown_timeout %s + %v",
			formatDuration(need), formatDuration(h.DrainDelay), formatDuration(h.ShutdownTimeout), closeTime)})
}

func (l *loader) headerBeforeBody(h HTTP) {
	l.rule(h.ReadHeaderTimeout <= h.ReadTimeout,
		term{"http.read_header_timeout", h.ReadHeaderTimeout, "must be at most http.read_timeout " + formatDuration(h.ReadTimeout)},
		term{"http.read_timeout", h.ReadTimeout, "must be at least http.read_header_timeout " + formatDuration(h.ReadHeaderTimeout)})
}

// adminIsApart asks for an address that the other listener leaves free.
func (l *loader) adminIsApart(a Admin, h HTTP) {
	if a.Off() {
		return
	}
	_, port, err := net.SplitHostPort(a.Addr)
	n, notNumber := strconv.ParseUint(port, 10, 16)
	l.rule(err == nil && notNumber == nil, term{"admin.addr", a.Addr, "must be host:port, such as 127.0.0.1:6768, or off"})
	l.rule(int(n) != h.Port,
		term{"admin.addr", a.Addr, fmt.Sprintf("must not have the port of http.port %d", h.Port)},
		term{"http.port", h.Port, fmt.Sprintf("must not be the port of admin.addr %s", a.Addr)})
}

// schedule asks whether one check's times fit together. Of inherited values it
// speaks by the key they come from; what is inherited whole was asked there.
func (l *loader) schedule(section string, c Check) {
	interval, timeout := l.owner(section+".interval"), l.owner(section+".timeout")
	failAfter, staleAfter := l.owner(section+".fail_after"), l.owner(section+".stale_after")
	l.ownRule(section, c.Timeout < c.Interval,
		term{timeout, c.Timeout, fmt.Sprintf("must be below %s %s", interval, formatDuration(c.Interval))},
		term{interval, c.Interval, fmt.Sprintf("must be above %s %s", timeout, formatDuration(c.Timeout))})

	need := c.Interval*time.Duration(c.FailAfter) + c.Timeout
	sum := fmt.Sprintf("%s x %s + %s", interval, failAfter, timeout)
	tooMuch := fmt.Sprintf("is too much: %s is %s and must be at most %s %s", sum, formatDuration(need), staleAfter, formatDuration(c.StaleAfter))
	l.ownRule(section, c.StaleAfter >= need,
		term{staleAfter, c.StaleAfter, fmt.Sprintf("must be at least %s: %s", formatDuration(need), sum)},
		term{interval, c.Interval, tooMuch},
		term{failAfter, c.FailAfter, tooMuch},
		term{timeout, c.Timeout, tooMuch})
}

// ownRule is a rule about a section, reported at the values that are its own.
func (l *loader) ownRule(section string, holds bool, terms ...term) {
	own := func(t term) bool { return strings.HasPrefix(t.key, section+".") }
	if slices.ContainsFunc(terms, own) {
		l.rule(holds, append(filter(terms, own), terms...)...)
	}
}

func filter(terms []term, keep func(term) bool) []term {
	return slices.DeleteFunc(slices.Clone(terms), func(t term) bool { return !keep(t) })
}

// owner is the key a value was set at: its own, or the one it is inherited from.
func (l *loader) owner(key string) string {
	if from := l.origins[key].inherited; from != "" {
		return from
	}
	return key
}

package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// closeTime is what is left after the drain to stop the checks and close the store.
const closeTime = 2 * time.Second

// validator checks the rules between values. The rules of one value are in its tags.
type validator struct {
	*loader
	values map[string]any // by key
}

func (l *loader) validate(c Config) {
	v := validator{l, map[string]any{}}
	rows := rowsOf(c)
	for _, r := range rows {
		v.values[r.key] = r.value
	}
	v.shutdownFits(c.HTTP)
	v.headerBeforeBody(c.HTTP)
	_, ok := listenHost(c.HTTP.Host)
	v.rule(ok, term{"http.host", "must be an IP address or a name, without http:// and port; empty for all addresses"})
	v.adminIsApart(c.Admin, c.HTTP)
	for _, r := range rows {
		if section, scheduled := strings.CutSuffix(r.key, ".stale_after"); scheduled {
			v.schedule(section)
		}
	}
}

// term is a key in a rule, and what to say of its value if it breaks the rule.
type term struct{ key, says string }

// rule reports a broken rule once, at the first of its terms that the operator
// set: that is the value to change. It reports none if a term has no value.
func (v validator) rule(holds bool, terms ...term) {
	bad := func(t term) bool { return v.isBad(t.key) }
	set := func(t term) bool { return v.origins[t.key].set() }
	if holds || slices.ContainsFunc(terms, bad) {
		return
	}
	t := terms[max(0, slices.IndexFunc(terms, set))]
	s := setting{row: row{value: v.values[t.key]}, text: format(v.values[t.key]), source: v.origins[t.key]}
	v.fault(t.key, "%s %s", s.subject(), t.says)
}

func (v validator) shutdownFits(h HTTP) {
	need := h.DrainDelay + h.ShutdownTimeout + closeTime
	tooLong := fmt.Sprintf("is too long: http.drain_delay + http.shutdown_timeout + %v is %s "+
		"and must be at most http.stop_grace_period %s", closeTime, format(need), format(h.StopGracePeriod))
	v.rule(need <= h.StopGracePeriod,
		term{"http.drain_delay", tooLong},
		term{"http.shutdown_timeout", tooLong},
		term{"http.stop_grace_period", fmt.Sprintf("must be at least %s: "+
			"http.drain_delay %s + http.shutdown_timeout %s + %v",
			format(need), format(h.DrainDelay), format(h.ShutdownTimeout), closeTime)})
}

func (v validator) headerBeforeBody(h HTTP) {
	v.rule(h.ReadHeaderTimeout <= h.ReadTimeout,
		term{"http.read_header_timeout", "must be at most http.read_timeout " + format(h.ReadTimeout)},
		term{"http.read_timeout", "must be at least http.read_header_timeout " + format(h.ReadHeaderTimeout)})
}

// hostName needs a letter in the last label: 256.1.1.1 is no name.
var hostName = regexp.MustCompile(`^(\w[\w-]*\.)*[\w-]*[A-Za-z_][\w-]*\.?$`)

// listenHost returns host without the brackets of [::], and false if no listener
// can have it. It resolves no name.
func listenHost(host string) (string, bool) {
	inner := strings.Trim(host, "[]")
	ip, err := netip.ParseAddr(inner)
	if err == nil && (host == inner || ip.Is6() && host == "["+inner+"]") {
		return inner, !ip.Is6() || !ip.IsLinkLocalUnicast() || ip.Zone() != "" // fe80::1%eth0
	}
	return host, host == "" || hostName.MatchString(host)
}

// adminIsApart asks for an address that the other listener leaves free.
func (v validator) adminIsApart(a Admin, h HTTP) {
	if a.Off() {
		return
	}
	host, port, err := net.SplitHostPort(a.Addr)
	n, notNumber := strconv.ParseUint(port, 10, 16)
	_, ok := listenHost(host)
	v.rule(err == nil && notNumber == nil && ok, term{"admin.addr",
		"must be host:port, such as 127.0.0.1:6768, or off; the host is an IP address, a name, or empty for all"})
	v.rule(int(n) != h.Port,
		term{"admin.addr", fmt.Sprintf("must not have the port of http.port %d", h.Port)},
		term{"http.port", fmt.Sprintf("must not be the port of admin.addr %s", a.Addr)})
}

// schedule checks that the times of one check fit together. It names an inherited
// value by the key it comes from; the rule between such values is checked there.
func (v validator) schedule(section string) {
	interval, timeout := v.owner(section+".interval"), v.owner(section+".timeout")
	failAfter, staleAfter := v.owner(section+".fail_after"), v.owner(section+".stale_after")
	duration := func(name string) time.Duration { return v.values[section+name].(time.Duration) }
	every, deadline := duration(".interval"), duration(".timeout")
	v.ownRule(section, deadline < every,
		term{timeout, fmt.Sprintf("must be below %s %s", interval, format(every))},
		term{interval, fmt.Sprintf("must be above %s %s", timeout, format(deadline))})

	failures, stale := v.values[section+".fail_after"].(int), duration(".stale_after")
	need := every*time.Duration(failures) + deadline
	sum := fmt.Sprintf("%s x %s + %s", interval, failAfter, timeout)
	tooMuch := fmt.Sprintf("is too much: %s is %s and must be at most %s %s",
		sum, format(need), staleAfter, format(stale))
	v.ownRule(section, stale >= need,
		term{staleAfter, fmt.Sprintf("must be at least %s: %s", format(need), sum)},
		term{interval, tooMuch},
		term{failAfter, tooMuch},
		term{timeout, tooMuch})
}

// ownRule is a rule about a section. It reports the section's own values first,
// and nothing if all values are inherited.
func (v validator) ownRule(section string, holds bool, terms ...term) {
	inherited := func(t term) bool { return !strings.HasPrefix(t.key, section+".") }
	if own := slices.DeleteFunc(slices.Clone(terms), inherited); len(own) > 0 {
		v.rule(holds, append(own, terms...)...)
	}
}

// owner returns the key a value was set at: its own, or the one it is inherited from.
func (v validator) owner(key string) string {
	if from := v.origins[key].inherited; from != "" {
		return from
	}
	return key
}

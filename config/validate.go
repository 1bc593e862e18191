package config

import (
	"cmp"
	"fmt"
	"net"
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
	_, ok := listenHost(c.HTTP.Host)
	v.rule(ok, "must be an IP address or a name, without http:// and port; empty for all addresses", "http.host")
	v.fits("http", c.HTTP.DrainDelay+c.HTTP.ShutdownTimeout+closeTime <= c.HTTP.StopGracePeriod,
		"%s + %s + "+format(closeTime)+" must be at most %s",
		"http.drain_delay", "http.shutdown_timeout", "http.stop_grace_period")
	v.fits("http", c.HTTP.ReadHeaderTimeout <= c.HTTP.ReadTimeout, "%s must be at most %s",
		"http.read_header_timeout", "http.read_timeout")
	v.rule((c.HTTP.TLS.CertPath == "") == (c.HTTP.TLS.KeyPath == ""), "is one of two: set both http.tls.cert_path and "+
		"http.tls.key_path, or none", "http.tls.cert_path", "http.tls.key_path")
	v.adminIsApart(c.Admin, c.HTTP)
	tokens, path := c.Auth.Mode == "tokens", c.Auth.TokensPath != ""
	v.rule(path || !tokens, "needs auth.tokens_path", "auth.mode", "auth.tokens_path")
	v.rule(tokens || !path, "has no effect while auth.mode is none: set that to tokens, or remove this",
		"auth.tokens_path", "auth.mode")
	v.fits("checks.bolt", c.Checks.Bolt.SlowAfter < c.Checks.Bolt.HungAfter, "%s must be below %s",
		"checks.bolt.slow_after", "checks.bolt.hung_after")
	v.rule(!strings.HasSuffix(c.Store.Bolt.Path, "/"), "must be the path of a file: it ends with a slash, as of a folder",
		"store.bolt.path")
	v.rule(c.Store.Driver != "postgres" || c.Store.Postgres.URL != (URL{}),
		"needs store.postgres.url, or "+variable("store.postgres.url")+"_FILE", "store.driver", "store.postgres.url")
	v.rule(c.Store.Driver != "postgres" || c.Backup.To == "", "is for store.driver bolt: PostgreSQL has its own backups, "+
		"pg_dump and archived WAL (docs/postgres.md); remove this", "backup.to")
	v.rule(c.Store.Driver != "postgres" || c.Checks.Disk.OnFailure != "restart", "is not for store.driver postgres: all "+
		"replicas share its disk, and a restart makes no room there", "checks.disk.on_failure")
	v.rule(c.Backup.To != "" || !c.Store.Bolt.Restores(), "needs backup.to, where the backups are",
		"store.bolt.create", "backup.to")
	v.fits("backup", c.Backup.Schedule < c.Backup.MaxAge, "%s must be below %s", "backup.schedule", "backup.max_age")
	v.warnUnused(c.Store.Driver, rows)
	for _, r := range rows {
		if section, scheduled := strings.CutSuffix(r.key, ".stale_after"); scheduled {
			v.schedule(section)
		}
	}
}

// sections are those of one store alone.
var sections = map[string][]string{
	"bolt":     {"store.bolt.", "checks.bolt.", "checks.records.", "backup."},
	"postgres": {"store.postgres.", "checks.postgres."},
}

// warnUnused warns of settings of another store that are not their defaults. Two of them are not the operator's: the
// image sets them.
func (v validator) warnUnused(driver string, rows []row) {
	if v.isBad("store.driver") {
		return
	}
	for _, r := range rows {
		from := v.origins[r.key]
		ofImage := from.location == variable(r.key) && (r.key == "store.bolt.path" || r.key == "store.bolt.volume")
		if !from.set() || ofImage || format(r.value) == format(r.byDefault()) {
			continue
		}
		begins := func(prefix string) bool { return strings.HasPrefix(r.key, prefix) }
		for of, prefixes := range sections {
			if of != driver && slices.ContainsFunc(prefixes, begins) {
				v.warnings = append(v.warnings, fmt.Sprintf("%s (%s) has no effect: store.driver is %s", r.key, from, driver))
			}
		}
	}
}

// fits is a rule between values that concerns a section. relation has a place for each key. The section's own keys are
// reported first; if it has none of them, the rule is checked where they are set.
func (v validator) fits(section string, holds bool, relation string, keys ...string) {
	var terms []any
	for _, key := range keys {
		terms = append(terms, key+" "+format(v.values[key]))
	}
	others := func(key string) bool { return !strings.HasPrefix(key, section+".") }
	if own := slices.DeleteFunc(slices.Clone(keys), others); len(own) > 0 {
		v.rule(holds, "does not fit: "+fmt.Sprintf(relation, terms...), append(own, keys...)...)
	}
}

// rule reports a broken rule once, at the first of its keys that the operator set:
// that is the value to change. It reports none if a key has no value.
func (v validator) rule(holds bool, says string, keys ...string) {
	set := func(key string) bool { return v.origins[key].set() }
	if holds || slices.ContainsFunc(keys, v.isBad) {
		return
	}
	key := keys[max(0, slices.IndexFunc(keys, set))]
	s := setting{row: row{value: v.values[key]}, text: format(v.values[key]), source: v.origins[key]}
	v.fault(key, "%s %s", s.subject(), says)
}

// adminIsApart asks for an address that the other listener leaves free.
func (v validator) adminIsApart(a Admin, h HTTP) {
	if a.Off() {
		return
	}
	host, port, err := net.SplitHostPort(a.Addr)
	n, notNumber := strconv.ParseUint(port, 10, 16)
	_, ok := listenHost(host)
	v.rule(err == nil && notNumber == nil && ok, "must be host:port, such as 127.0.0.1:6768, or off; "+
		"the host is an IP address, a name, or empty for all", "admin.addr")
	v.fits("admin", int(n) != h.Port, "%s and %s must have different ports", "admin.addr", "http.port")
}

// schedule checks that the times of one check fit together. It names an inherited value by the key it comes from.
func (v validator) schedule(section string) {
	key := func(name string) string {
		own := section + "." + name
		return cmp.Or(v.origins[own].inherited, own)
	}
	interval, timeout, failAfter, staleAfter := key("interval"), key("timeout"), key("fail_after"), key("stale_after")
	every, deadline := v.values[interval].(time.Duration), v.values[timeout].(time.Duration)
	failures, stale := v.values[failAfter].(int), v.values[staleAfter].(time.Duration)
	v.fits(section, deadline < every, "%s must be below %s", timeout, interval)
	v.fits(section, stale >= every*time.Duration(failures)+deadline, "%s must be at least %s x %s + %s",
		staleAfter, interval, failAfter, timeout)
}

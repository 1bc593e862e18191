package dependency

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// newDNS asks for records, as RFC 4501 writes it: dns://server/name?type=A, or dns:///name for the name servers and
// search domains of this machine. Its hosts file is not read: what it has can't fail. One record is healthy; with
// expect, one of them must be that.
func newDNS(t *target) question {
	kind, expect := t.word("type", "A", "AAAA", "MX", "NS", "SRV", "TXT"), t.text("expect")
	host := strings.TrimPrefix(t.url.Path, "/")
	t.checkName(host)
	return func(ctx context.Context, at *phase) error {
		name, records := host, t.bySystem
		if t.url.Host != "" {
			name, records = absolute(host), t.byServer
		}
		found, err := records(ctx, at, kind, name)
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return verdictf("%s: no such name, or no %s record", name, kind)
		case expect != "" && !slices.ContainsFunc(found, func(text string) bool { return sameRecord(kind, text, expect) }):
			return verdictf("%s: no %s record is as expected%s", name, kind, shown(kind, found))
		}
		return nil
	}
}

// sameRecord compares addresses as addresses, names without case and without the dot at their end, and texts exactly.
func sameRecord(kind, found, expected string) bool {
	switch kind {
	case "TXT":
		return found == expected
	case "A", "AAAA":
		want, err := netip.ParseAddr(expected)
		return err == nil && found == want.String()
	}
	host, port, _ := strings.Cut(expected, ":")
	if port != "" {
		port = ":" + port
	}
	return strings.EqualFold(found, strings.TrimSuffix(host, ".")+port)
}

// shown returns up to three records that were found. Texts and odd names are not shown: anything may be in them.
func shown(kind string, found []string) string {
	odd := func(text string) bool { return len(text) > 80 || !plainRecord.MatchString(text) }
	if kind == "TXT" || slices.ContainsFunc(found, odd) {
		return ""
	}
	if len(found) > 3 {
		return fmt.Sprintf(": there are %s and %d more", strings.Join(found[:3], ", "), len(found)-3)
	}
	return ": there is " + strings.Join(found, ", ")
}

var plainRecord = regexp.MustCompile(`^[0-9A-Za-z._:-]+$`)

func (t *target) checkName(host string) {
	badLabel := func(label string) bool { return label == "" || len(label) > 63 }
	plain := strings.TrimSuffix(host, ".")
	_, notAddress := netip.ParseAddr(plain)
	switch {
	case host == "" || strings.Contains(host, "/") || len(host) > 253:
		t.fault("has no name to ask for: write it as dns://server/name, " +
			"or dns:///name for the system's name servers")
	case notAddress == nil:
		t.fault("has an address to ask for: dns asks for a name")
	case slices.ContainsFunc(strings.Split(plain, "."), badLabel):
		t.fault("has a name to ask for that can be none: " +
			"between its dots are 1 to 63 characters (RFC 1035, 2.3.4)")
	}
}

// byServer asks the name server of the URL, whose own name the system resolves.
func (t *target) byServer(ctx context.Context, at *phase, kind, name string) ([]string, error) {
	servers, err := resolver(ctx, t.timeout).LookupHost(ctx, t.url.Hostname())
	if err != nil {
		return nil, err
	}
	for i, server := range servers {
		servers[i] = net.JoinHostPort(server, t.port)
	}
	*at = query
	return lookup(ctx, servers, kind, []string{name}, t.timeout)
}

// bySystem asks the name servers of this machine, with its search domains.
func (t *target) bySystem(ctx context.Context, at *phase, kind, name string) ([]string, error) {
	*at = query
	servers, names := resolvConf(name)
	return lookup(ctx, servers, kind, names, t.timeout)
}

// resolvConf returns the name servers of this machine, and the names to ask them for host, in their order.
func resolvConf(host string) (servers, names []string) {
	content, _ := os.ReadFile("/etc/resolv.conf") // without it, its defaults hold
	return parseResolvConf(string(content), host)
}

func parseResolvConf(content, host string) (servers, names []string) {
	dots, search := 1, []string(nil)
	for line := range strings.Lines(content) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			servers = append(servers, net.JoinHostPort(words[1], "53"))
		case "domain", "search":
			search = words[1:]
		case "options":
			for _, option := range words[1:] {
				if n, is := strings.CutPrefix(option, "ndots:"); is {
					dots, _ = strconv.Atoi(n)
				}
			}
		}
	}
	if servers == nil {
		servers = []string{"127.0.0.1:53", "[::1]:53"}
	}
	if strings.HasSuffix(host, ".") {
		return servers, []string{host}
	}
	for _, domain := range search {
		if domain != "." { // the root: systemd-resolved writes it where there are no search domains
			names = append(names, absolute(host+"."+domain))
		}
	}
	if strings.Count(host, ".") >= dots {
		return servers, append([]string{absolute(host)}, names...)
	}
	return servers, append(names, absolute(host))
}

// absolute is a name that no search domain is added to.
func absolute(host string) string { return strings.TrimSuffix(host, ".") + "." }

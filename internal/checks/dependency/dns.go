package dependency

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// newDNS asks for records, as RFC 4501 writes it: dns://server/name?type=A, or
// dns:///name for what this machine resolves, with its name servers, its search
// domains and its hosts file. One record is healthy; with expect, one of them
// must be that.
func newDNS(t *target) (question, error) {
	kind, badType := t.options.word("type", "A", "AAAA", "MX", "NS", "SRV", "TXT")
	expect, badExpect := t.options.text("expect")
	host := strings.TrimPrefix(t.url.Path, "/")
	server := ""
	if t.url.Host != "" {
		server = t.addr("53")
	}
	var badName error
	if host == "" || strings.Contains(host, "/") || len(host) > 253 {
		badName = errors.New("has no name to ask for: write it as dns://server/name, or dns:///name for the system's name servers")
	} else if _, err := netip.ParseAddr(strings.TrimSuffix(host, ".")); err == nil {
		badName = errors.New("has an address to ask for: dns asks for a name")
	} else if slices.ContainsFunc(strings.Split(strings.TrimSuffix(host, "."), "."), func(label string) bool { return label == "" || len(label) > 63 }) {
		badName = errors.New("has a name to ask for that can be none: between its dots are 1 to 63 characters (RFC 1035, 2.3.4)")
	}
	ask := func(ctx context.Context, at *phase) error {
		via, err := nameServer(ctx, at, server)
		if err != nil {
			return err
		}
		at.set(query)
		asked := host
		if via != "" {
			asked = strings.TrimSuffix(host, ".") + "." // search domains are the system's
		}
		found, err := look(ctx, via, kind, asked)
		return judge(found, err, kind, asked, expect)
	}
	return ask, errors.Join(t.noUser(), badName, badType, badExpect)
}

// nameServer is server with its name, if it has one, resolved by the system.
func nameServer(ctx context.Context, at *phase, server string) (addr string, err error) {
	host, port, err := net.SplitHostPort(server)
	if err != nil || net.ParseIP(host) != nil {
		return server, nil
	}
	at.set(name)
	addrs, err := resolver(ctx, "").LookupHost(ctx, host)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(addrs[0], port), nil
}

// judge is what these records are worth.
func judge(found []string, err error, kind, host, expect string) error {
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return verdictf("%s: no such name, or no %s record", host, kind)
	case err != nil:
		return err
	case len(found) == 0:
		return verdictf("%s: no %s record", host, kind)
	case expect != "" && !slices.Contains(found, expect):
		return verdictf("%s: no %s record is as expected", host, kind)
	}
	return nil
}

// look is the records of one kind as text, names without the dot at the end.
func look(ctx context.Context, server, kind, host string) ([]string, error) {
	var found []string
	r := resolver(ctx, server)
	add := func(text string) { found = append(found, strings.TrimSuffix(text, ".")) }
	var err error
	switch kind {
	case "A", "AAAA":
		if server != "" {
			return addresses(ctx, server, kind, host) // the resolver would look into the hosts file first
		}
		var addrs []net.IP
		addrs, err = r.LookupIP(ctx, map[string]string{"A": "ip4", "AAAA": "ip6"}[kind], host)
		for _, addr := range addrs {
			add(addr.String())
		}
	case "MX":
		var mxs []*net.MX
		mxs, err = r.LookupMX(ctx, host)
		for _, mx := range mxs {
			add(mx.Host)
		}
	case "NS":
		var nss []*net.NS
		nss, err = r.LookupNS(ctx, host)
		for _, ns := range nss {
			add(ns.Host)
		}
	case "SRV":
		var srvs []*net.SRV
		_, srvs, err = r.LookupSRV(ctx, "", "", host)
		for _, srv := range srvs {
			add(fmt.Sprintf("%s:%d", strings.TrimSuffix(srv.Target, "."), srv.Port))
		}
	case "TXT":
		found, err = r.LookupTXT(ctx, host)
	}
	return found, err
}

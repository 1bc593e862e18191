package dependency

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"accountservice/tests/harness"
)

// newNameServer answers each question over UDP with what answer makes of it.
func newNameServer(t *testing.T, answer func(dnsmessage.Question) []byte) string {
	t.Helper()
	return newPacketServer(t, func(packet []byte) []byte { return answerTo(packet, answer) })
}

// newPacketServer answers each packet with another, or not.
func newPacketServer(t *testing.T, answer func(packet []byte) []byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	harness.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	go func() {
		for packet := make([]byte, 4096); ; {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if raw := answer(packet[:n]); raw != nil {
				conn.WriteTo(raw, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// answerTo is the packet that answers another, or nothing.
func answerTo(packet []byte, answer func(dnsmessage.Question) []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(packet)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	raw := answer(q)
	if len(raw) > 1 {
		raw[0], raw[1] = byte(header.ID>>8), byte(header.ID)
	}
	return raw
}

// reply answers each question with these records, or with that code.
func reply(code dnsmessage.RCode, answers ...dnsmessage.ResourceBody) func(dnsmessage.Question) []byte {
	return func(q dnsmessage.Question) []byte {
		m := dnsmessage.Message{Header: dnsmessage.Header{Response: true, RCode: code, RecursionAvailable: true}, Questions: []dnsmessage.Question{q}}
		for _, body := range answers {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: body})
		}
		raw, err := m.Pack()
		if err != nil {
			panic(err)
		}
		return raw
	}
}

var a = &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}

func TestAnAnswerTooLongForAPacketIsAskedForOverTCP(t *testing.T) {
	cut := func(q dnsmessage.Question) []byte {
		raw := reply(0)(q)
		raw[2] |= 2 // truncated
		return raw
	}
	addr := newNameServer(t, cut)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("the port is free for UDP alone: %v", err)
	}
	defer l.Close()
	many := slices.Repeat([]dnsmessage.ResourceBody{&dnsmessage.AResource{A: [4]byte{10, 0, 0, 2}}}, 100)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		packet := make([]byte, 4096)
		n, _ := c.Read(packet)
		raw := answerTo(packet[2:n], reply(0, append(many, a)...))
		c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...))
	}()
	says(t, ask(t, fmt.Sprintf("dns://%s/users.test?expect=10.0.0.1", addr), ample), "")
}

func TestDNSAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer  func(dnsmessage.Question) []byte
		options string
		want    string
	}{
		"an address":      {reply(0, a), "", ""},
		"the address":     {reply(0, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 2}}, a), "?expect=10.0.0.1", ""},
		"another address": {reply(0, a), "?expect=10.0.0.3", "query: users.test.: no A record is as expected: there is 10.0.0.1"},
		"no record":       {reply(0), "", "query: users.test.: no such name, or no A record"},
		"no name":         {reply(dnsmessage.RCodeNameError), "", "query: users.test.: no such name, or no A record"},
		"SERVFAIL":        {reply(dnsmessage.RCodeServerFailure), "", "query: the name server could not get an answer (SERVFAIL)"},
		"REFUSED":         {reply(dnsmessage.RCodeRefused), "", "query: the name server refuses this question, or knows nobody to ask (REFUSED)"},
		"FORMERR":         {reply(dnsmessage.RCodeFormatError), "", "query: the name server does not understand the question (FORMERR)"},
		"NOTIMP":          {reply(dnsmessage.RCodeNotImplemented), "", "query: the name server answers code 4"},
		"many addresses":  {reply(0, a, a, a, a), "?expect=10.0.0.3", "query: users.test.: no A record is as expected: there are 10.0.0.1, 10.0.0.1, 10.0.0.1 and 1 more"},
		"a long address":  {reply(0, &dnsmessage.AAAAResource{AAAA: [16]byte{0: 0xfd, 15: 1}}), "?type=AAAA&expect=FD00:0::1", ""},
		"a name in caps":  {reply(0, &dnsmessage.NSResource{NS: dnsmessage.MustNewName("NS.test.")}), "?type=NS&expect=ns.TEST.", ""},
		"a port":          {reply(0, &dnsmessage.SRVResource{Port: 1, Target: dnsmessage.MustNewName("db.test.")}), "?type=SRV&expect=db.test.:2", "query: users.test.: no SRV record is as expected: there is db.test:1"},
		"another text":    {reply(0, &dnsmessage.TXTResource{TXT: []string{"hunter2"}}), "?type=TXT&expect=x", "query: users.test.: no TXT record is as expected"},
		"an odd name":     {reply(0, &dnsmessage.NSResource{NS: dnsmessage.MustNewName("hunter2\n.")}), "?type=NS&expect=x", "query: users.test.: no NS record is as expected"},
		"TXT":             {reply(0, &dnsmessage.TXTResource{TXT: []string{"v=1"}}), "?type=TXT&expect=v%3D1", ""},
		"SRV":             {reply(0, &dnsmessage.SRVResource{Port: 5432, Target: dnsmessage.MustNewName("db.test.")}), "?type=SRV&expect=db.test:5432", ""},
		"MX":              {reply(0, &dnsmessage.MXResource{MX: dnsmessage.MustNewName("mail.test.")}), "?type=MX&expect=mail.test", ""},
		"NS":              {reply(0, &dnsmessage.NSResource{NS: dnsmessage.MustNewName("ns.test.")}), "?type=NS&expect=ns.test", ""},
		"an AAAA":         {reply(0, &dnsmessage.AAAAResource{AAAA: [16]byte{0: 0xfd, 15: 1}}), "?type=AAAA&expect=fd00::1", ""},
		"an alias":        {reply(0, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("b.test.")}, a), "?expect=10.0.0.1", ""},
		"an alias alone":  {reply(0, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("b.test.")}), "", "query: users.test.: no such name, or no A record"},
		"another name":    {func(q dnsmessage.Question) []byte { q.Name = dnsmessage.MustNewName("b.test."); return reply(0, a)(q) }, "", "query: no answer in time"},
		"no AAAA":         {reply(0), "?type=AAAA", "query: users.test.: no such name, or no AAAA record"},
		"silent":          {func(dnsmessage.Question) []byte { return nil }, "", "query: no answer in time"},
		"garbage":         {func(dnsmessage.Question) []byte { return []byte("xxhunter2hunter2hunter2") }, "", "query: no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := fmt.Sprintf("dns://%s/users.test%s", newNameServer(t, c.answer), c.options)
			for range 2 {
				says(t, runs(t, url, enough(c.want))(), c.want)
			}
		})
	}
}

func TestAServerWithoutEDNSIsAskedWithout(t *testing.T) {
	addr := newPacketServer(t, func(packet []byte) []byte {
		if packet[11] > 0 { // additional records
			return answerTo(packet, reply(dnsmessage.RCodeFormatError))
		}
		return answerTo(packet, reply(0, a))
	})
	says(t, ask(t, fmt.Sprintf("dns://%s/users.test", addr), ample), "")
}

func TestResolvConfSaysWhoIsAskedForWhat(t *testing.T) {
	for _, c := range []struct{ content, host, servers, names string }{
		{"", "users", "127.0.0.1:53 [::1]:53", "users."},
		{"nameserver 127.0.0.11\noptions ndots:0\n", "users", "127.0.0.11:53", "users."},
		{"# nameserver 10.0.0.9\nnameserver 10.0.0.1\nnameserver fd00::1\nsearch a.test b.test\n", "users",
			"10.0.0.1:53 [fd00::1]:53", "users.a.test. users.b.test. users."},
		{"nameserver 10.0.0.1\nsearch a.test\n", "db.users", "10.0.0.1:53", "db.users. db.users.a.test."},
		{"nameserver 10.0.0.1\nsearch a.test\noptions edns0 ndots:2\n", "db.users", "10.0.0.1:53", "db.users.a.test. db.users."},
		{"nameserver 10.0.0.1\nsearch a.test\n", "users.", "10.0.0.1:53", "users."},
		{"nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n", "users", "127.0.0.53:53", "users."},
		{"nameserver 10.0.0.1\nsearch . a.test.\n", "db.users", "10.0.0.1:53", "db.users. db.users.a.test."},
	} {
		servers, names := parseResolvConf(c.content, c.host)
		if s, n := strings.Join(servers, " "), strings.Join(names, " "); s != c.servers || n != c.names {
			t.Errorf("%q for %s: servers %s, names %s; want %s and %s", c.content, c.host, s, n, c.servers, c.names)
		}
	}
}

func TestNamesAndServersAreAskedInTurn(t *testing.T) {
	silent := newNameServer(t, func(dnsmessage.Question) []byte { return nil })
	second := newNameServer(t, func(q dnsmessage.Question) []byte {
		if q.Name.String() == "users.b.test." {
			return reply(0, a)(q)
		}
		return reply(dnsmessage.RCodeNameError)(q)
	})
	names := []string{"users.a.test.", strings.Repeat("long.", 60), "users.b.test."}
	found, err := lookup(t.Context(), []string{silent, second}, "A", names, brief)
	if err != nil || !slices.Equal(found, []string{"10.0.0.1"}) {
		t.Errorf("%v %v, want the address that the second server has for the last name", found, err)
	}
}

// A name server that is away must not hide the next one from the name lookup of the other kinds.
func TestAWayToAServiceIsFoundByTheNextNameServer(t *testing.T) {
	silent := newNameServer(t, func(dnsmessage.Question) []byte { return nil })
	second := newNameServer(t, reply(0, a))
	dial := dialServers(t.Context(), []string{silent, second}, brief)
	var asked atomic.Int32
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		if asked.Add(1) <= 2 { // A and AAAA
			return dial(ctx, network, silent)
		}
		return dial(ctx, network, second) // Go asks twice, also where this machine has one name server
	}}
	ctx, cancel := context.WithTimeout(t.Context(), ample)
	defer cancel()
	began := time.Now()
	found, err := r.LookupHost(ctx, "users.test.")
	if took := time.Since(began); err != nil || len(found) == 0 || took > 4*time.Second {
		t.Errorf("%v %v after %s, want the address that the second server has", found, err, took)
	}
}

// A resolver goes on with the next name: so does every client of the service.
func TestASearchDomainThatCannotBeAskedDoesNotHideTheName(t *testing.T) {
	broken, whole := reply(dnsmessage.RCodeServerFailure), reply(dnsmessage.RCodeNameError)
	server := newNameServer(t, func(q dnsmessage.Question) []byte {
		switch {
		case strings.HasSuffix(q.Name.String(), ".corp.test."):
			return broken(q)
		case q.Name.String() == "users.":
			return reply(0, a)(q)
		}
		return whole(q)
	})
	found, err := lookup(t.Context(), []string{server}, "A", []string{"users.corp.test.", "users."}, ample)
	if err != nil || !slices.Equal(found, []string{"10.0.0.1"}) {
		t.Errorf("%v %v, want the address of the last name", found, err)
	}
	_, err = lookup(t.Context(), []string{server}, "A", []string{"db.corp.test.", "db."}, ample)
	says(t, err, "the name server could not get an answer (SERVFAIL)") // db may be in the domain
}

package dependency

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// maxPacket is the longest answer that a name server may send over UDP; Go's own resolver asks for the same.
const maxPacket = 1232

// errServer is for a name server that answers with nonsense.
var errServer = &net.DNSError{Err: "server misbehaving"}

var recordTypes = map[string]dnsmessage.Type{
	"A":    dnsmessage.TypeA,
	"AAAA": dnsmessage.TypeAAAA,
	"MX":   dnsmessage.TypeMX,
	"NS":   dnsmessage.TypeNS,
	"SRV":  dnsmessage.TypeSRV,
	"TXT":  dnsmessage.TypeTXT,
}

// lookup returns the records of the first of these names that has some, of the first server that works. A name that
// the server cannot answer, as of a search domain whose own servers are away, does not hide the next.
func lookup(ctx context.Context, servers []string, kind string, names []string, left time.Duration) ([]string, error) {
	return firstOf(ctx, servers, left, func(ctx context.Context, server string) (_ []string, first error) {
		for _, name := range names {
			found, err := records(ctx, server, kind, name)
			if len(found) > 0 {
				return found, nil
			}
			first = cmp.Or(first, err)
		}
		return nil, first
	})
}

// records asks a name server for the records of a name, by UDP, and by TCP when the answer is too long for that.
// Both no such name and no such record are none.
func records(ctx context.Context, server, kind, name string) ([]string, error) {
	q := dnsmessage.Question{Type: recordTypes[kind], Class: dnsmessage.ClassINET}
	var err error
	if q.Name, err = dnsmessage.NewName(name); err != nil {
		return nil, nil // with the search domain it is longer than any name
	}
	m, err := exchangeDNS(ctx, "udp", server, q, true)
	extended := err != nil || m.RCode != dnsmessage.RCodeFormatError // an old server does not know EDNS
	if !extended {
		m, err = exchangeDNS(ctx, "udp", server, q, false)
	}
	if err == nil && m.Truncated {
		m, err = exchangeDNS(ctx, "tcp", server, q, extended)
	}
	switch {
	case isTimeout(err), errors.Is(err, errTooLong):
		return nil, err
	case err != nil:
		return nil, &net.DNSError{Err: err.Error()}
	case m.RCode != dnsmessage.RCodeSuccess && m.RCode != dnsmessage.RCodeNameError:
		return nil, dnsFailure(m.RCode)
	}
	var found []string
	for _, record := range m.Answers {
		if record.Header.Type == q.Type { // else it is an alias on the way
			found = append(found, recordText(record.Body))
		}
	}
	return found, nil
}

// dnsFailure is what a response code of a name server means.
func dnsFailure(code dnsmessage.RCode) error {
	switch code {
	case dnsmessage.RCodeServerFailure:
		return verdictf("the name server could not get an answer (SERVFAIL)")
	case dnsmessage.RCodeRefused:
		return verdictf("the name server refuses this question, or knows nobody to ask (REFUSED)")
	case dnsmessage.RCodeFormatError:
		return verdictf("the name server does not understand the question (FORMERR)")
	}
	return verdictf("the name server answers code %d", uint16(code))
}

// packQuestion returns a message with the question; with EDNS if it is extended, which permits longer packets.
func packQuestion(id uint16, q dnsmessage.Question, extended bool) ([]byte, error) {
	asked := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{q}}
	if !extended {
		return asked.Pack()
	}
	var edns dnsmessage.ResourceHeader
	if err := edns.SetEDNS0(maxPacket, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	asked.Additionals = []dnsmessage.Resource{{Header: edns, Body: &dnsmessage.OPTResource{}}}
	return asked.Pack()
}

func exchangeDNS(ctx context.Context, network, server string, q dnsmessage.Question, extended bool) (
	m dnsmessage.Message, err error) {
	id := uint16(rand.Uint32())
	raw, err := packQuestion(id, q, extended)
	if err != nil {
		return m, err
	}
	if network == "tcp" {
		raw = append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, server)
	if err != nil {
		return m, err
	}
	defer conn.Close()
	s := newSession(conn)
	err = s.during(ctx, func() error {
		if _, err := s.Write(raw); err != nil {
			return err
		}
		for { // anybody can send a packet: only the right one counts
			raw, err := s.receiveDNS(network)
			if err != nil || m.Unpack(raw) == nil && m.Response && m.ID == id && isQuestion(m.Questions, q) {
				return err
			}
			if network == "tcp" {
				return errServer
			}
		}
	})
	return m, err
}

func isQuestion(asked []dnsmessage.Question, q dnsmessage.Question) bool {
	return len(asked) == 1 && strings.EqualFold(asked[0].GoString(), q.GoString())
}

func (s *session) receiveDNS(network string) ([]byte, error) {
	if network == "udp" {
		raw := make([]byte, maxPacket)
		n, err := s.Read(raw)
		return raw[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(s.r, size[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(s.r, raw)
	return raw, err
}

// recordText is a record as an operator writes it: names without the dot at the end.
func recordText(body dnsmessage.ResourceBody) string {
	name := func(n dnsmessage.Name) string { return strings.TrimSuffix(n.String(), ".") }
	switch r := body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(r.A).String()
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(r.AAAA).String()
	case *dnsmessage.MXResource:
		return name(r.MX)
	case *dnsmessage.NSResource:
		return name(r.NS)
	case *dnsmessage.SRVResource:
		return fmt.Sprintf("%s:%d", name(r.Target), r.Port)
	case *dnsmessage.TXTResource:
		return strings.Join(r.TXT, "")
	}
	return ""
}

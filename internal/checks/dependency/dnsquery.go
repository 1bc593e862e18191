package dependency

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/net/dns/dnsmessage"
)

// packet is the longest answer that a name server is told to send over UDP; Go's
// own resolver says the same.
const packet = 1232

// errServer is said of a name server that answers with an error or with nonsense.
var errServer = &net.DNSError{Err: "server misbehaving"}

// addresses asks a name server for the A or AAAA records of a name, by UDP, and
// by TCP when the answer is too long for that.
func addresses(ctx context.Context, server, kind, host string) ([]string, error) {
	q := dnsmessage.Question{Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	if kind == "AAAA" {
		q.Type = dnsmessage.TypeAAAA
	}
	var err error
	if q.Name, err = dnsmessage.NewName(host); err != nil {
		return nil, &net.DNSError{IsNotFound: true}
	}
	a, err := exchange(ctx, "udp", server, q)
	if err == nil && a.header.Truncated {
		a, err = exchange(ctx, "tcp", server, q)
	}
	var late net.Error
	var ours *verdict
	switch {
	case errors.As(err, &late) && late.Timeout(), errors.As(err, &ours):
		return nil, err
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, &net.DNSError{Err: "refused"}
	case err != nil, a.header.RCode != dnsmessage.RCodeSuccess && a.header.RCode != dnsmessage.RCodeNameError:
		return nil, errServer
	case len(a.found) == 0:
		return nil, &net.DNSError{IsNotFound: true}
	}
	return a.found, nil
}

// answer of a name server.
type answer struct {
	header dnsmessage.Header
	found  []string
}

// exchange sends a question and waits for its answer.
func exchange(ctx context.Context, network, server string, q dnsmessage.Question) (a answer, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, server)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	s := newSession(conn)
	err = s.during(ctx, func() error {
		id := uint16(rand.Uint32())
		if err := s.sendQuestion(network, id, q); err != nil {
			return err
		}
		for {
			raw, err := s.receiveAnswer(network)
			if err != nil {
				return err
			}
			var is bool
			if a, is = parseAnswer(raw, id, q); is {
				return nil
			}
			if network == "tcp" {
				return errServer
			}
			// anybody can send a packet: only the right one counts
		}
	})
	return a, err
}

func (s *session) sendQuestion(network string, id uint16, q dnsmessage.Question) error {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	var extra dnsmessage.ResourceHeader
	err := errors.Join(b.StartQuestions(), b.Question(q), b.StartAdditionals(),
		extra.SetEDNS0(packet, dnsmessage.RCodeSuccess, false), b.OPTResource(extra, dnsmessage.OPTResource{}))
	raw, badMessage := b.Finish()
	if err := errors.Join(err, badMessage); err != nil {
		return err
	}
	if network == "tcp" {
		raw = append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
	}
	_, err = s.Write(raw)
	return err
}

func (s *session) receiveAnswer(network string) ([]byte, error) {
	if network == "udp" {
		raw := make([]byte, packet)
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

// parseAnswer reads what may be the answer to a question.
func parseAnswer(raw []byte, id uint16, q dnsmessage.Question) (a answer, is bool) {
	var p dnsmessage.Parser
	var err error
	if a.header, err = p.Start(raw); err != nil || !a.header.Response || a.header.ID != id {
		return a, false
	}
	asked, err := p.Question()
	if err != nil || asked.Type != q.Type || asked.Class != q.Class || !strings.EqualFold(asked.Name.String(), q.Name.String()) {
		return a, false
	}
	if err := p.SkipAllQuestions(); err != nil {
		return a, false
	}
	for {
		head, err := p.AnswerHeader()
		switch {
		case errors.Is(err, dnsmessage.ErrSectionDone):
			return a, true
		case err != nil:
			return a, false
		case head.Type != q.Type: // an alias on the way
			err = p.SkipAnswer()
		case q.Type == dnsmessage.TypeA:
			var record dnsmessage.AResource
			record, err = p.AResource()
			a.found = append(a.found, netip.AddrFrom4(record.A).String())
		default:
			var record dnsmessage.AAAAResource
			record, err = p.AAAAResource()
			a.found = append(a.found, netip.AddrFrom16(record.AAAA).String())
		}
		if err != nil {
			return a, false
		}
	}
}

package dependency

import (
	"net/http/httptrace"
	"sync/atomic"
)

// phase is how far a run has come. Libraries set it from goroutines of their
// own.
type phase struct {
	n      atomic.Int32
	reused atomic.Bool // the HTTP connection of the last request
}

// The phases, in their order. Up to authentication a connection is opened.
const (
	waiting int32 = iota
	name
	connect
	tlsHandshake
	greeting
	authentication
	request
	firstByte
	body
	query
	ping
	channel
)

func (p *phase) set(n int32) { p.n.Store(n) }

func (p *phase) opening() bool { return p.n.Load() <= authentication }

func (p *phase) name() string {
	return [...]string{"waiting for a connection", "name lookup", "connect", "TLS handshake", "greeting", "authentication",
		"request", "waiting for the answer", "answer", "query", "ping", "channel open"}[p.n.Load()]
}

// trace sets the phases that package net and the HTTP client go through.
func (p *phase) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { p.set(name) },
		ConnectStart:      func(string, string) { p.set(connect) },
		TLSHandshakeStart: func() { p.set(tlsHandshake) },
		GotConn: func(info httptrace.GotConnInfo) {
			p.set(request)
			p.reused.Store(info.Reused)
		},
		// the answer may be there before this is told
		WroteRequest: func(httptrace.WroteRequestInfo) { p.n.CompareAndSwap(request, firstByte) },
	}
}

package dependency

// phase is how far a run has come.
type phase int

// The phases, in their order. Up to authentication a connection is being opened.
const (
	nameLookup phase = iota
	connect
	tlsHandshake
	greeting
	authentication
	request
	waiting
	answer
	query
	ping
	channelOpen
)

func (p phase) opening() bool { return p <= authentication }

func (p phase) String() string {
	return [...]string{"name lookup", "connect", "TLS handshake", "greeting", "authentication",
		"request", "waiting for the answer", "answer", "query", "ping", "channel open"}[p]
}

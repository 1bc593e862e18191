package dependency

import (
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl/scram"
	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/text/unicode/norm"
)

// newMongoDB says hello, logs in by SCRAM-SHA-256 if the URL has a user, and asks ping:
// mongodb://user:password@host/db, where db is the one that has the user, admin if there is none. role=primary fails a
// server that takes no writes. TLS is spoken if an option of TLS is set.
func newMongoDB(t *target) question {
	settings, role := t.tlsOptions(), t.word("role", "any", "primary")
	if settings.set {
		t.tls = settings
	}
	user, password := t.login()
	if (user == "") != (password == "") {
		t.fault("must have both a user and a password, or none")
	}
	database := cmp.Or(strings.TrimPrefix(t.url.Path, "/"), "admin")
	return t.keep(func(_ context.Context, at *phase, s *session) (link, error) {
		m := &mongoDB{session: s, primary: role == "primary"}
		*at = greeting
		if err := m.hello(); err != nil || user == "" {
			return m, err
		}
		*at = authentication
		return m, m.login(database, user, password)
	})
}

type mongoDB struct {
	*session
	id      uint32 // of the last message
	primary bool
}

func (m *mongoDB) hello() error {
	reply, err := m.command("admin", bson.D{{Key: "hello", Value: 1}})
	if err == nil && m.primary && !reply.IsWritablePrimary {
		return verdictf("the server takes no writes: it is no primary")
	}
	return err
}

// login gives the password the form in which MongoDB keeps it. A user's name has none.
func (m *mongoDB) login(database, user, password string) error {
	mechanism := scram.Auth{User: user, Pass: saslprep(password)}.AsSha256Mechanism()
	command, done := bson.D{{Key: "saslStart", Value: 1}, {Key: "mechanism", Value: "SCRAM-SHA-256"}}, false
	exchange := func(payload string) (string, error) {
		reply, err := m.command(database, append(command, bson.E{Key: "payload", Value: []byte(payload)}))
		if err != nil {
			return "", err
		}
		if reply.ConversationID == nil {
			return "", errNotSpoken
		}
		command = bson.D{{Key: "saslContinue", Value: 1}, {Key: "conversationId", Value: *reply.ConversationID}}
		done = reply.Done
		return string(reply.Payload), nil
	}
	if err := scramLogin(mechanism, exchange); err != nil || done {
		return err
	}
	_, err := exchange("") // an old server wants an empty message at last
	if err == nil && !done {
		return errNotSpoken
	}
	return err
}

// saslprep maps a text as SASLprep does (RFC 4013, 2.1 and 2.2). It refuses none: the server does.
func saslprep(text string) string {
	return norm.NFKC.String(strings.Map(func(r rune) rune {
		switch {
		case r == 0x1680: // a space; NFKC maps the others
			return ' '
		case r == 0xAD, r == 0x34F, r == 0x1806, r >= 0x180B && r <= 0x180D, r >= 0x200B && r <= 0x200D, r == 0x2060,
			r >= 0xFE00 && r <= 0xFE0F, r == 0xFEFF: // RFC 3454, B.1
			return -1
		}
		return r
	}, text))
}

func (m *mongoDB) ask(_ context.Context, at *phase) error {
	*at = ping
	if m.primary {
		if err := m.hello(); err != nil {
			return err
		}
	}
	_, err := m.command("admin", bson.D{{Key: "ping", Value: 1}})
	return err
}

// mongoReply has the elements of a reply that are read.
type mongoReply struct {
	OK                float64 `bson:"ok"`
	Code              int32
	IsWritablePrimary bool   `bson:"isWritablePrimary"`
	ConversationID    *int32 `bson:"conversationId"`
	Done              bool
	Payload           []byte
}

// command sends one to a database, in OP_MSG, and returns the reply.
func (m *mongoDB) command(database string, document bson.D) (reply mongoReply, err error) {
	const opMsg, head = 2013, 21
	body, err := bson.Marshal(append(document, bson.E{Key: "$db", Value: database}))
	if err != nil {
		return reply, err
	}
	m.id++
	var message []byte
	for _, n := range []uint32{uint32(head + len(body)), m.id, 0, opMsg, 0} {
		message = binary.LittleEndian.AppendUint32(message, n)
	}
	if _, err := m.Write(append(append(message, 0), body...)); err != nil {
		return reply, err
	}
	var prefix [4]byte
	if _, err := io.ReadFull(m.r, prefix[:]); err != nil {
		return reply, err
	}
	size := int(binary.LittleEndian.Uint32(prefix[:]))
	if size < head+5 || size > maxAnswer {
		return reply, errNotSpoken
	}
	message = append(prefix[:], make([]byte, size-len(prefix))...)
	if _, err := io.ReadFull(m.r, message[len(prefix):]); err != nil {
		return reply, err
	}
	err = bson.Unmarshal(message[head:], &reply)
	switch {
	case err != nil || binary.LittleEndian.Uint32(message[12:]) != opMsg || message[20] != 0:
		return reply, errNotSpoken
	case reply.OK == 1:
		return reply, nil
	case reply.Code != 0:
		return reply, mongoFailure(reply.Code)
	}
	return reply, errNotSpoken
}

// mongoFailure is what an error code means; its text is the server's.
func mongoFailure(code int32) error {
	const stopping = "the server is stopping"
	return coded(code, map[int32]string{
		11:    "the server refuses the user name or password",
		13:    "this user may not ask that, or the server wants a login",
		18:    "the server refuses the user name or password",
		91:    stopping,
		334:   "the server does not have SCRAM-SHA-256 for this user",
		11600: stopping,
	}, 91, 11600)
}

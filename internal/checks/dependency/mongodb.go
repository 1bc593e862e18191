package dependency

import (
	"context"
	"encoding/binary"
	"io"
	"strings"

	"github.com/xdg-go/scram"
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
	database := strings.TrimPrefix(t.url.Path, "/")
	if database == "" {
		database = "admin"
	}
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
	reply, err := m.command(bson{}.int("hello", 1).text("$db", "admin"))
	if err == nil && m.primary && reply["isWritablePrimary"] != "\x01" {
		return verdictf("the server takes no writes: it is no primary")
	}
	return err
}

func (m *mongoDB) login(database, user, password string) error {
	command, done := bson{}.int("saslStart", 1).text("mechanism", "SCRAM-SHA-256"), false
	exchange := func(payload string) (string, error) {
		reply, err := m.command(command.bytes("payload", payload).text("$db", database))
		if err != nil {
			return "", err
		}
		if len(reply["conversationId"]) != 4 {
			return "", errNotSpoken
		}
		id := binary.LittleEndian.Uint32([]byte(reply["conversationId"]))
		command, done = bson{}.int("saslContinue", 1).int("conversationId", id), reply["done"] == "\x01"
		return reply["payload"], nil
	}
	if err := scramLogin(scram.SHA256, user, password, exchange); err != nil || done {
		return err
	}
	_, err := exchange("") // an old server wants an empty message at last
	if err == nil && !done {
		return errNotSpoken
	}
	return err
}

func (m *mongoDB) ask(_ context.Context, at *phase) error {
	*at = ping
	if m.primary {
		if err := m.hello(); err != nil {
			return err
		}
	}
	_, err := m.command(bson{}.int("ping", 1).text("$db", "admin"))
	return err
}

func (m *mongoDB) close() {}

// command sends one in OP_MSG and returns the elements of the reply.
func (m *mongoDB) command(document bson) (map[string]string, error) {
	const opMsg, head = 2013, 21
	m.id++
	body := document.end()
	var message []byte
	for _, n := range []uint32{uint32(head + len(body)), m.id, 0, opMsg, 0} {
		message = binary.LittleEndian.AppendUint32(message, n)
	}
	if _, err := m.Write(append(append(message, 0), body...)); err != nil {
		return nil, err
	}
	var prefix [4]byte
	if _, err := io.ReadFull(m.r, prefix[:]); err != nil {
		return nil, err
	}
	size := int(binary.LittleEndian.Uint32(prefix[:]))
	if size < head+5 || size > maxAnswer {
		return nil, errNotSpoken
	}
	message = append(prefix[:], make([]byte, size-len(prefix))...)
	if _, err := io.ReadFull(m.r, message[len(prefix):]); err != nil {
		return nil, err
	}
	reply, ok := elements(message[head:])
	switch {
	case !ok || binary.LittleEndian.Uint32(message[12:]) != opMsg || message[20] != 0:
		return nil, errNotSpoken
	case reply["ok"] == "\x00\x00\x00\x00\x00\x00\xf0\x3f": // 1.0
		return reply, nil
	case len(reply["code"]) == 4:
		return nil, mongoFailure(binary.LittleEndian.Uint32([]byte(reply["code"])))
	}
	return nil, errNotSpoken
}

// mongoFailure is what an error code means; its text is the server's.
func mongoFailure(code uint32) error {
	const stopping = "the server is stopping"
	return coded(code, map[uint32]string{
		11:    "the server refuses the user name or password",
		13:    "this user may not ask that, or the server wants a login",
		18:    "the server refuses the user name or password",
		91:    stopping,
		334:   "the server does not have SCRAM-SHA-256 for this user",
		11600: stopping,
	}, 91, 11600)
}

// bson is a document without its length and end.
type bson []byte

func (b bson) int(name string, n uint32) bson {
	return binary.LittleEndian.AppendUint32(append(append(b, 0x10), name+"\x00"...), n)
}

func (b bson) text(name, text string) bson {
	b = binary.LittleEndian.AppendUint32(append(append(b, 0x02), name+"\x00"...), uint32(len(text)+1))
	return append(b, text+"\x00"...)
}

func (b bson) bytes(name, content string) bson {
	b = binary.LittleEndian.AppendUint32(append(append(b, 0x05), name+"\x00"...), uint32(len(content)))
	return append(append(b, 0), content...)
}

func (b bson) end() []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b)+5)), append(b, 0)...)
}

// elements are the values of a document by their names, without the lengths before them.
func elements(document []byte) (found map[string]string, ok bool) {
	found = map[string]string{}
	rest := string(document[4:])
	for len(rest) > 1 {
		name, value, is := strings.Cut(rest[1:], "\x00")
		start, size := bsonSize(rest[0], value)
		if !is || size < 0 || size > len(value)-start {
			return nil, false
		}
		found[name] = value[start : start+size]
		rest = value[start+size:]
	}
	return found, rest == "\x00"
}

// bsonSize returns where a value of this type starts and how long it is; a size of -1 is for an unknown type.
func bsonSize(kind byte, value string) (start, size int) {
	length := func() int {
		if len(value) < 4 {
			return -1 << 31
		}
		return int(int32(binary.LittleEndian.Uint32([]byte(value))))
	}
	switch kind {
	case 0x01, 0x09, 0x11, 0x12: // double, date, timestamp, int64
		return 0, 8
	case 0x02: // text
		return 4, length()
	case 0x03, 0x04: // document, array
		return 0, length()
	case 0x05: // bytes
		return 5, length()
	case 0x07: // object id
		return 0, 12
	case 0x08: // boolean
		return 0, 1
	case 0x0a: // null
		return 0, 0
	case 0x10: // int32
		return 0, 4
	}
	return 0, -1
}

package dependency

import (
	"bytes"
	"context"
	"io"
)

// newLDAP binds, without a name if the URL has none, and reads the root entry: ldap://cn=admin,dc=test:password@host.
func newLDAP(t *target) question {
	settings, starttls, inClear := t.tls, "never", true
	user, password := t.login()
	if settings == nil {
		settings, starttls = t.tlsOptions(), t.word("starttls", "never", "require")
		inClear = t.plaintextLogin() || password == "" || starttls == "require"
		if settings.set {
			starttls = "require"
		}
	}
	if !inClear && starttls == "never" {
		t.fault("would send its password in clear: write it as ldaps://, or add starttls=require or plaintext_login=allow")
	}
	if user != "" && password == "" {
		t.fault("has a user without a password: the server would take that for no login (RFC 4513, 5.1.2)")
	}
	return t.keep(func(_ context.Context, at *phase, s *session) (link, error) {
		l := &ldap{session: s}
		if starttls == "require" {
			*at = greeting
			const oid = "1.3.6.1.4.1.1466.20037"
			if err := l.request(ber(0x77, ber(0x80, []byte(oid))), 0x78); err != nil {
				return l, err
			}
			if err := s.encrypt(at, settings); err != nil {
				return l, err
			}
		}
		*at = authentication
		return l, l.request(ber(0x60, []byte{2, 1, 3}, ber(4, []byte(user)), ber(0x80, []byte(password))), 0x61)
	})
}

type ldap struct {
	*session
	id byte // of the last message, 1 to 127
}

// rootEntry asks for no attribute of the entry "".
var rootEntry = ber(0x63, ber(4), []byte{10, 1, 0, 10, 1, 0, 2, 1, 1, 2, 1, 2, 1, 1, 0},
	ber(0x87, []byte("objectClass")), ber(0x30, ber(4, []byte("1.1"))))

func (l *ldap) ask(_ context.Context, at *phase) error {
	*at = query
	return l.request(rootEntry, 0x65)
}

// goodbye unbinds.
func (l *ldap) goodbye() { l.send(ber(0x42)) }

// ber is an element of this tag.
func ber(tag byte, parts ...[]byte) []byte {
	var content []byte
	for _, part := range parts {
		content = append(content, part...)
	}
	n := len(content)
	head := []byte{tag, byte(n)}
	if n > 127 {
		head = []byte{tag, 0x82, byte(n >> 8), byte(n)}
	}
	return append(head, content...)
}

func (l *ldap) send(operation []byte) error {
	l.id = l.id%127 + 1
	_, err := l.Write(ber(0x30, []byte{2, 1, l.id}, operation))
	return err
}

// request sends an operation and reads up to its result, which has this tag.
func (l *ldap) request(operation []byte, result byte) error {
	if err := l.send(operation); err != nil {
		return err
	}
	for {
		tag, content, err := l.message()
		switch {
		case err != nil:
			return err
		case tag == 0x64, tag == 0x73: // an entry, a reference
			continue
		case tag != result && tag != 0x78, len(content) < 3, content[0] != 10, content[1] != 1:
			return errNotSpoken
		case tag != result: // a notice of disconnection
			return &verdict{text: "the server ended the connection", bye: true}
		case content[2] == 0:
			return nil
		}
		return ldapFailure(content[2])
	}
}

// message reads a message and returns its operation.
func (l *ldap) message() (tag byte, content []byte, err error) {
	tag, content, err = readBER(l.r)
	if err != nil {
		return 0, nil, err
	}
	if tag != 0x30 || len(content) < 3 || content[0] != 2 || int(content[1])+2 > len(content) {
		return 0, nil, errNotSpoken
	}
	content = content[2+content[1]:]
	tag, content, err = readBER(bytes.NewReader(content))
	if err != nil {
		err = errNotSpoken
	}
	return tag, content, err
}

// readBER reads one element of at most 64 KiB.
func readBER(r io.Reader) (tag byte, content []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size := int(head[1])
	if size > 127 {
		long := make([]byte, min(size&0x7f, 4))
		if _, err = io.ReadFull(r, long); err != nil {
			return 0, nil, err
		}
		size = 0
		for _, b := range long {
			size = size<<8 | int(b)
		}
	}
	if size > maxAnswer {
		return 0, nil, errNotSpoken
	}
	content = make([]byte, size)
	_, err = io.ReadFull(r, content)
	return head[0], content, err
}

func ldapFailure(code byte) error {
	const wantsTLS, refused = "the server wants TLS, or does not offer it", "the server refuses the user name or password"
	const busy = "the server is busy or not available"
	return coded(code, map[byte]string{
		2: wantsTLS, 13: wantsTLS, 48: refused, 49: refused, 51: busy, 52: busy,
		7:  "the server takes no login by name and password",
		8:  "the server wants a stronger login, such as over TLS",
		34: "the user name is not that of an entry, such as cn=reader,dc=example,dc=com",
		50: "this user may not read the root entry",
		53: "the server is unwilling, for instance to let in without a login",
	})
}

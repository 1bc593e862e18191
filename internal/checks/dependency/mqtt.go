package dependency

import (
	"context"
	"encoding/binary"
	"io"
)

// newMQTT logs in with a clean session and asks PINGREQ, in MQTT 3.1.1: mqtt://user:password@host:1883.
func newMQTT(t *target) question {
	t.guardPassword()
	user, password := t.login()
	if len(user) > 1024 || len(password) > 1024 {
		t.fault("has too long a user or password")
	}
	hello := mqttConnect(user, password)
	return t.keep(func(_ context.Context, at *phase, s *session) (link, error) {
		m := mqtt{s}
		return m, m.login(at, hello)
	})
}

// mqttConnect is CONNECT without a client identifier, which the broker makes. The keep-alive is that of most clients: a
// broker can refuse one who wants none, as Mosquitto does by max_keepalive.
func mqttConnect(user, password string) []byte {
	const cleanSession, withName, withPassword, keepAlive = 0x02, 0x80, 0x40, 60 // seconds
	flags, rest := byte(cleanSession), appendText16(nil, "")
	if user != "" {
		flags, rest = flags|withName, appendText16(rest, user)
	}
	if user != "" && password != "" {
		flags, rest = flags|withPassword, appendText16(rest, password)
	}
	body := append(appendText16(nil, "MQTT"), 4, flags, 0, keepAlive)
	body = append(body, rest...)
	return append(binary.AppendUvarint([]byte{0x10}, uint64(len(body))), body...)
}

// appendText16 appends a text after its length in two bytes.
func appendText16(b []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(text))), text...)
}

type mqtt struct{ *session }

func (m mqtt) login(at *phase, hello []byte) error {
	*at = authentication
	var answer [4]byte
	if _, err := m.Write(hello); err != nil {
		return err
	}
	if _, err := io.ReadFull(m.r, answer[:]); err != nil {
		return err
	}
	if answer[0] != 0x20 || answer[1] != 2 {
		return errNotSpoken
	}
	if answer[3] == 0 {
		return nil
	}
	return coded(answer[3], map[byte]string{
		1: "the broker does not speak MQTT 3.1.1",
		2: "the broker makes no client identifiers",
		3: "the broker is not available",
		4: "the broker refuses the user name or password",
		5: "the broker refuses the user name or password, or wants one",
	})
}

func (m mqtt) ask(_ context.Context, at *phase) error {
	*at = ping
	if _, err := io.WriteString(m, "\xc0\x00"); err != nil {
		return err
	}
	var answer [2]byte
	if _, err := io.ReadFull(m.r, answer[:]); err != nil {
		return err
	}
	if string(answer[:]) != "\xd0\x00" {
		return errNotSpoken
	}
	return nil
}

func (m mqtt) goodbye() { io.WriteString(m, "\xe0\x00") }

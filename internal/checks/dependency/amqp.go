package dependency

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"time"
)

// newAMQP logs in to a virtual host, opens a channel and closes it again:
// amqp://user:password@host:5672/vhost, in AMQP 0-9-1. It agrees on no
// heartbeats, so nothing need run between two runs.
func newAMQP(t *target) (question, error) {
	var secure *secure
	var badTLS, badVhost error
	usual := "5672"
	if t.url.Scheme == "amqps" {
		usual = "5671"
		secure, badTLS = t.tls()
	}
	user, password := t.login()
	if t.url.User == nil {
		user, password = "guest", "guest" // as RabbitMQ's own clients have it
	}
	vhost := strings.TrimPrefix(t.url.Path, "/")
	switch {
	case strings.Contains(strings.TrimPrefix(t.url.EscapedPath(), "/"), "/"):
		badVhost = errors.New("must have one virtual host as its path: write a / in its name as %2F")
	case len(vhost) > 255:
		badVhost = errors.New("has too long a virtual host")
	case vhost == "":
		vhost = "/"
	}
	open := func(ctx context.Context, at *phase) (link, error) {
		conn, err := t.open(ctx, at, usual, secure)
		if err != nil {
			return nil, err
		}
		a := &amqp{session: newSession(conn), secure: secure}
		if err := a.during(ctx, func() error { return a.login(at, user, password, vhost) }); err != nil {
			conn.Close()
			return nil, err
		}
		return a, nil
	}
	return keep(open), errors.Join(t.needHost(), badTLS, badVhost)
}

// amqp is a connection to an AMQP broker.
type amqp struct {
	*session
	secure *secure
}

func (a *amqp) login(at *phase, user, password, vhost string) error {
	at.set(greeting)
	if _, err := io.WriteString(a, "AMQP\x00\x00\x09\x01"); err != nil {
		return err
	}
	if _, err := a.await(at, connectionStart); err != nil {
		return err
	}
	at.set(authentication)
	// the broker only says why it refuses to those who say that they understand
	var can, about, answer arguments
	can.short("authentication_failure_close").octets('t', 1)
	about.short("capabilities").octets('F').long(can).short("product").octets('S').long([]byte("accountservice-health"))
	answer.long(about).short("PLAIN").long([]byte("\x00" + user + "\x00" + password)).short("en_US")
	if err := a.send(0, connectionStartOK, answer); err != nil {
		return err
	}
	limits, err := a.await(at, connectionTune)
	switch {
	case err != nil:
		return err
	case len(limits) != 8:
		return errNotSpoken
	}
	limits[6], limits[7] = 0, 0 // heartbeats
	if err := a.send(0, connectionTuneOK, limits); err != nil {
		return err
	}
	var where arguments
	where.short(vhost).short("").octets(0)
	return a.call(at, 0, connectionOpen, where, connectionOpenOK)
}

func (a *amqp) ask(ctx context.Context, at *phase) error {
	at.set(channel)
	var none, goodbye arguments
	none.short("")
	goodbye.octets(0, 200).short("").octets(0, 0, 0, 0)
	err := a.during(ctx, func() error {
		if err := a.call(at, 1, channelOpen, none, channelOpenOK); err != nil {
			return err
		}
		return a.call(at, 1, channelClose, goodbye, channelCloseOK)
	})
	if err != nil {
		return err
	}
	return a.secure.look(a.Conn)
}

// close says goodbye, so that the broker's log has no warning, and does not
// wait for the answer.
func (a *amqp) close() {
	var goodbye arguments
	goodbye.octets(0, 200).short("").octets(0, 0, 0, 0)
	if a.SetDeadline(time.Now().Add(100*time.Millisecond)) == nil {
		_ = a.send(0, connectionClose, goodbye) // it is closed anyway
	}
	a.Close()
}

// Methods, class and number.
const (
	connectionStart   = 10<<16 | 10
	connectionStartOK = 10<<16 | 11
	connectionTune    = 10<<16 | 30
	connectionTuneOK  = 10<<16 | 31
	connectionOpen    = 10<<16 | 40
	connectionOpenOK  = 10<<16 | 41
	connectionClose   = 10<<16 | 50
	channelOpen       = 20<<16 | 10
	channelOpenOK     = 20<<16 | 11
	channelClose      = 20<<16 | 40
	channelCloseOK    = 20<<16 | 41
)

// Types of frames, and what each ends with.
const (
	frameMethod    = 1
	frameHeartbeat = 8
	frameEnd       = 0xCE
)

// call sends a method and waits for its answer.
func (a *amqp) call(at *phase, channel byte, method uint32, args arguments, answer uint32) error {
	if err := a.send(channel, method, args); err != nil {
		return err
	}
	_, err := a.await(at, answer)
	return err
}

func (a *amqp) send(channel byte, method uint32, args arguments) error {
	frame := binary.BigEndian.AppendUint32([]byte{frameMethod, 0, channel}, uint32(4+len(args)))
	frame = binary.BigEndian.AppendUint32(frame, method)
	frame = append(append(frame, args...), frameEnd)
	_, err := a.Write(frame)
	return err
}

// await reads up to this method and returns its arguments.
func (a *amqp) await(at *phase, want uint32) (arguments, error) {
	for {
		var head [7]byte
		if _, err := io.ReadFull(a.r, head[:]); err != nil {
			return nil, err
		}
		size := binary.BigEndian.Uint32(head[3:])
		if head[0] != frameMethod && head[0] != frameHeartbeat || size > maxAnswer {
			return nil, errNotSpoken
		}
		frame := make([]byte, size+1)
		if _, err := io.ReadFull(a.r, frame); err != nil {
			return nil, err
		}
		switch args := arguments(frame[:size]); {
		case frame[size] != frameEnd:
			return nil, errNotSpoken
		case head[0] == frameHeartbeat:
		case size < 4:
			return nil, errNotSpoken
		case binary.BigEndian.Uint32(args) == want:
			return args[4:], nil
		case size >= 6 && (binary.BigEndian.Uint32(args) == connectionClose || binary.BigEndian.Uint32(args) == channelClose):
			return nil, amqpFailure(at, binary.BigEndian.Uint16(args[4:]))
		default:
			return nil, errNotSpoken
		}
	}
}

// amqpFailure is what a reply code means; the reply text is the broker's.
func amqpFailure(at *phase, code uint16) error {
	switch {
	case code == 320:
		return &verdict{text: "the broker stops, or an operator closed the connection (320)", bye: true}
	case code == 403 && at.n.Load() == authentication:
		return verdictf("the broker refuses the user name or password (403)")
	case code == 530 || code == 402:
		return verdictf("there is no such virtual host, it is down, or it is not for this user (%d)", code)
	}
	return verdictf("the broker answers error %d", code)
}

// arguments of a method, as they are sent.
type arguments []byte

func (a *arguments) octets(b ...byte) *arguments { *a = append(*a, b...); return a }

// short adds a text of at most 255 bytes.
func (a *arguments) short(text string) *arguments {
	*a = append(append(*a, byte(len(text))), text...)
	return a
}

func (a *arguments) long(b []byte) *arguments {
	*a = append(binary.BigEndian.AppendUint32(*a, uint32(len(b))), b...)
	return a
}

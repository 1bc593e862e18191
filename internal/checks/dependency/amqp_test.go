package dependency

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// broker answers methods of AMQP until one has no answer: by class<<16|number, with a whole frame but for its channel.
func broker(c net.Conn, answers map[uint32]string, heard func(method uint32, arguments []byte)) {
	var hello [8]byte
	if _, err := io.ReadFull(c, hello[:]); err != nil {
		return
	}
	io.WriteString(c, method(0, 10<<16|10, "\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US"))
	for {
		var head [11]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		arguments := make([]byte, binary.BigEndian.Uint32(head[3:])-4+1) // and the end of the frame
		if _, err := io.ReadFull(c, arguments); err != nil {
			return
		}
		asked := binary.BigEndian.Uint32(head[7:])
		heard(asked, arguments)
		answer, is := answers[asked]
		if !is {
			return
		}
		io.WriteString(c, strings.Replace(answer, "CH", string(head[1:3]), 1))
	}
}

// method is a frame of a broker; channel 1 is the one that was asked on.
func method(channel, number uint32, arguments string) string {
	on := "\x00\x00"
	if channel > 0 {
		on = "CH"
	}
	frame := binary.BigEndian.AppendUint32([]byte("\x01"+on), uint32(4+len(arguments)))
	return string(binary.BigEndian.AppendUint32(frame, number)) + arguments + "\xce"
}

const (
	startOK, tuneOK, openVhost, closeConnection = 10<<16 | 11, 10<<16 | 31, 10<<16 | 40, 10<<16 | 50
	openChannel, closeChannel                   = 20<<16 | 10, 20<<16 | 40
)

// goodAnswers are those of a broker that is well. Its heartbeat is 60 s.
func goodAnswers() map[uint32]string {
	return map[uint32]string{
		startOK:         method(0, 10<<16|30, "\x00\x00\x00\x02\x00\x00\x00\x3c"),
		tuneOK:          "",
		openVhost:       method(0, 10<<16|41, "\x00"),
		closeConnection: method(0, 10<<16|51, ""),
		openChannel:     method(1, 20<<16|11, "\x00\x00\x00\x00"),
		closeChannel:    method(1, 20<<16|41, ""),
		20<<16 | 41:     "", // that of the client
	}
}

// refusal closes a connection or a channel with this code.
func refusal(channel, number uint32, code uint16) string {
	return method(channel, number, string(binary.BigEndian.AppendUint16(nil, code))+"\x07hunter2\x00\x00\x00\x00")
}

// worded closes a connection with code 530 and this text.
func worded(text string) string {
	return method(0, closeConnection, "\x02\x12"+string(rune(len(text)))+text+"\x00\x00\x00\x00")
}

func speaksAMQP(c net.Conn, _ int) { broker(c, goodAnswers(), func(uint32, []byte) {}) }

func TestFaultsOfABroker(t *testing.T) {
	for name, c := range map[string]struct {
		at     uint32 // this method
		answer string // gets this, or none
		want   string
	}{
		"hangs at the login":         {startOK, "", "authentication: no answer in time"},
		"refuses the password":       {startOK, refusal(0, closeConnection, 403), "authentication: the broker refuses the user name or password (403)"},
		"has no such virtual host":   {openVhost, refusal(0, closeConnection, 530), "authentication: there is no such virtual host, it is down, or it is not for this user (530)"},
		"says that there is none":    {openVhost, worded("vhost hunter2 not found"), "authentication: there is no such virtual host (530)"},
		"refuses the virtual host":   {openVhost, worded("access to vhost 'a' refused for user 'b'"), "authentication: this user may not use the virtual host (530)"},
		"has too many connections":   {openVhost, worded("access to vhost 'a' refused for user 'b': connection limit (1) is reached"), "authentication: the virtual host, the user or the node has too many connections (530)"},
		"has too many channels":      {openChannel, worded("number of channels opened for user 'b' has reached the limit"), "channel open: the user or the node has too many channels (530)"},
		"is about to stop":           {openVhost, refusal(0, closeConnection, 320), "authentication: the broker stops, or an operator closed the connection (320)"},
		"hangs at the channel":       {openChannel, "", "channel open: no answer in time"},
		"opens no channel":           {openChannel, refusal(1, closeChannel, 504), "channel open: the broker answers error 504"},
		"answers with garbage":       {openChannel, "hunter2 hunter2", "channel open: it is not AMQP"},
		"answers what was not asked": {openVhost, method(0, 10<<16|51, ""), "authentication: it is not AMQP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, func(conn net.Conn, _ int) {
				answers := goodAnswers()
				if answers[c.at] = c.answer; c.answer == "" {
					delete(answers, c.at)
				}
				broker(conn, answers, func(method uint32, arguments []byte) {
					// RabbitMQ closes the socket without a word if it does not find this
					if method == startOK && !bytes.Contains(arguments, []byte("\x1cauthentication_failure_closet\x01")) {
						conn.Close()
					}
				})
			})
			failing(t, p, fmt.Sprintf("amqp://u:hunter2@%s?plaintext_login=allow", p.Addr()), c.want)
		})
	}
}

func TestTheAlarmsOfABroker(t *testing.T) {
	const publish, content, blocked, unblocked = 60<<16 | 40, 60 << 16, 10<<16 | 60, 10<<16 | 61
	low := func(reason string) string { return method(0, blocked, string(rune(len(reason)))+reason) }
	const url = "amqp://u:hunter2@%s?plaintext_login=allow"
	for name, c := range map[string]struct{ option, answer, want string }{
		"memory":          {"&alarms=fail", low("low on memory"), "channel open: the broker takes no messages: it is low on memory"},
		"disk":            {"&alarms=fail", low("low on disk"), "channel open: the broker takes no messages: it is low on disk"},
		"another":         {"&alarms=fail", low("hunter2"), "channel open: the broker takes no messages: it has an alarm"},
		"warned of":       {"&alarms=warn", low("low on memory"), "the broker takes no messages: it is low on memory"},
		"over":            {"&alarms=fail", method(0, unblocked, ""), ""},
		"none":            {"&alarms=fail", "", ""},
		"may not publish": {"&alarms=fail", refusal(1, closeChannel, 403), "channel open: this user may not publish to the default exchange, which option alarms needs (403)"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(conn net.Conn, _ int) {
				answers := goodAnswers()
				answers[publish], answers[content] = "", c.answer
				if strings.Contains(c.answer, "\x00\x0a\x00\x3c") {
					delete(answers, closeChannel) // it does not read any more
				}
				broker(conn, answers, func(uint32, []byte) {})
			})
			run := runs(t, fmt.Sprintf(url, p.Addr())+c.option, ample)
			for range 2 {
				says(t, run(), c.want)
			}
			if c.want != "" && name != "may not publish" {
				p.settles(t)
			}
		})
	}
}

func TestABrokerIsToldGoodbye(t *testing.T) {
	goodbyes := make(chan bool, 1)
	p := newPeer(t, func(c net.Conn, _ int) {
		broker(c, goodAnswers(), func(method uint32, _ []byte) {
			if method == closeConnection {
				goodbyes <- true
			}
		})
	})
	asker := newAsker(t, fmt.Sprintf("amqp://u:hunter2@%s?plaintext_login=allow", p.Addr()))
	harness.Must(t, asker.Ask(t.Context()))
	asker.Close()
	p.settles(t)
	if len(goodbyes) != 1 {
		t.Error("the broker was told nothing")
	}
}

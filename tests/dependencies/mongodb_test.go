//go:build linux

package dependencies

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/xdg-go/scram"

	"accountservice/tests/harness"
)

// Neither Debian nor the module proxy has a MongoDB server: this one has the three commands that the check uses, written
// from MongoDB's published description of OP_MSG, hello and SCRAM; and of OP_QUERY, by which MongoDB's own driver says
// hello. config is nil for one without TLS.
func newMongoDB(t *testing.T, config *tls.Config) *own { return newMongo(t, config, true) }

func newMongo(t *testing.T, config *tls.Config, writable bool) *own {
	return newOwn(t, func(l net.Listener) func() {
		if config != nil {
			l = tls.NewListener(l, config)
		}
		return serveEach(l, func(c net.Conn) { serveMongo(c, writable) })
	})
}

func serveMongo(c net.Conn, writable bool) {
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		password, known := map[string]string{"u": "hunter2", "\u00bd": "hunter\u00bd"}[user] // a name is kept as it is
		if !known {
			return scram.StoredCredentials{}, io.EOF
		}
		client, err := scram.SHA256.NewClient(user, password, "") // a password is kept by SASLprep
		if err != nil {
			return scram.StoredCredentials{}, err
		}
		return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: 4096})
	})
	if err != nil {
		return
	}
	conversation := server.NewConversation()
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		rest := make([]byte, binary.LittleEndian.Uint32(size[:])-4)
		if _, err := io.ReadFull(c, rest); err != nil {
			return
		}
		const query = 2004
		asksOld := binary.LittleEndian.Uint32(rest[8:]) == query
		document := rest[17:]
		reply := "\x08helloOk\x00\x01\x10maxWireVersion\x00\x11\x00\x00\x00\x08isWritablePrimary\x00\x00"
		if writable {
			reply = reply[:len(reply)-1] + "\x01"
		}
		if bytes.Contains(document, []byte("\x10ping\x00")) {
			reply = ""
		}
		ok := "\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f"
		if _, payload, is := bytes.Cut(document, []byte("\x05payload\x00")); is && !asksOld {
			n := binary.LittleEndian.Uint32(payload)
			next, err := conversation.Step(string(payload[5 : 5+n]))
			reply = "\x10conversationId\x00\x01\x00\x00\x00\x08done\x00" + string(rune(btoi(conversation.Done()))) +
				"\x05payload\x00" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(next)))) + "\x00" + next
			if err != nil {
				ok, reply = "\x01ok\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\x10code\x00\x12\x00\x00\x00"
			}
		}
		if _, err := c.Write(mongoReply(asksOld, rest[:4], reply+ok)); err != nil {
			return
		}
	}
}

// mongoReply is a message in answer to that with this id: OP_REPLY to OP_QUERY, else OP_MSG.
func mongoReply(asksOld bool, id []byte, elements string) (message []byte) {
	body := append(binary.LittleEndian.AppendUint32(nil, uint32(4+len(elements)+1)), elements+"\x00"...)
	head := []uint32{2013, 0}
	if asksOld {
		head = []uint32{1, 0, 0, 0, 0, 1} // one document
	} else {
		body = append([]byte{0}, body...) // the kind of its section
	}
	for _, n := range append([]uint32{uint32(12 + 4*len(head) + len(body)), 1, binary.LittleEndian.Uint32(id)}, head...) {
		message = binary.LittleEndian.AppendUint32(message, n)
	}
	return append(message, body...)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestFaultsOfAMongoDBServer(t *testing.T) {
	needServers(t)
	authority := harness.NewAuthority(t)
	primary, secondary := newMongo(t, nil, true), newMongo(t, nil, false)
	secure := newMongo(t, &tls.Config{Certificates: []tls.Certificate{authority.Own()}}, true)
	for _, server := range []*own{primary, secondary, secure} {
		server.start()
	}
	const refused = "authentication: the server refuses the user name or password (18)"
	for url, want := range map[string]string{
		"mongodb://u:hunter2@" + primary.addr + "/?role=primary":      "",
		"mongodb://%C2%BD:hunter%C2%BD@" + primary.addr:               "",
		"mongodb://u:wrong-hunter2@" + primary.addr:                   refused,
		"mongodb://nobody:hunter2@" + primary.addr:                    refused,
		"mongodb://u:hunter2@" + secondary.addr:                       "",
		"mongodb://u:hunter2@" + secondary.addr + "/?role=primary":    "greeting: the server takes no writes: it is no primary",
		"mongodb://u:hunter2@" + secure.addr + "/?server_name=a.test": "TLS handshake: its certificate is ",
		"mongodb://" + secure.addr + "/?ca_file=" + authority.File:    "",
	} {
		run := newRun(t, url)
		for range 2 {
			wants(t, run, want)
		}
	}
	run := newRun(t, "mongodb://u:hunter2@"+primary.addr)
	wants(t, run, "")
	primary.stop()
	wants(t, run, "connect: "+primary.addr+": connection refused")
	primary.start()
	wants(t, run, "")
}

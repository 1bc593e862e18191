package dependency

import (
	"bufio"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

func TestWhatANATSServerSaysOfItself(t *testing.T) {
	const info = `{"type":"io.nats.jetstream.api.v1.account_info_response"`
	msg := func(body string) string { return fmt.Sprintf("MSG _INBOX.x 1 %d\r\n%s\r\n", len(body), body) }
	const silent = "\x00" // then nothing is answered
	for name, c := range map[string]struct{ answer, more, want string }{
		"well":          {msg(info + "}"), "", ""},
		"no leader":     {msg(info + `,"error":{"code":503,"err_code":10008,"description":"hunter2"}}`), "", "query: JetStream is not available now, as without a leader (10008)"},
		"not for us":    {msg(info + `,"error":{"code":503,"err_code":10039}}`), "", "query: the server has no JetStream for this account (10039)"},
		"another error": {msg(info + `,"error":{"code":500,"err_code":10023}}`), "", "query: JetStream answers error 10023"},
		"nobody there":  {"HMSG _INBOX.x 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", "", "query: the server has no JetStream for this account"},
		"another type":  {msg(`{"type":"hunter2"}`), "", "query: it is not NATS"},
		"too long":      {"MSG _INBOX.x 1 999999999999\r\n", "", "query: it is not NATS"},
		"below zero":    {"MSG _INBOX.x 1 -3\r\n", "", "query: it is not NATS"},
		"not permitted": {"-ERR 'Permissions Violation for Publish to \"$JS.API.INFO\"'\r\n", "", "query: this user may not ask JetStream's API, which jetstream=required needs"},
		"silent":        {silent, "", "query: no answer in time"},
		"lame duck":     {msg(info + "}"), "INFO {\"ldm\":true}\r\n", "the server is about to stop (lame duck mode)"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(conn net.Conn, _ int) {
				io.WriteString(conn, "INFO {}\r\n")
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					switch word, _, _ := strings.Cut(lines.Text(), " "); word {
					case "PING":
						io.WriteString(conn, c.more+"PONG\r\n")
					case "PUB":
						io.WriteString(conn, strings.TrimPrefix(c.answer, silent))
					}
				}
			})
			run := runs(t, fmt.Sprintf("nats://%s?jetstream=required", p.Addr()), enough(c.want))
			for range 2 {
				says(t, run(), c.want)
			}
		})
	}
}

func TestTLSBeforeTheGreetingOfNATS(t *testing.T) {
	ca := harness.NewAuthority(t)
	certificate := ca.Server(t, 1000*time.Hour, "svc.test")
	overTLS := func(c net.Conn, n int) { speaksNATS(tls.Server(c, certificate), n) }
	for name, c := range map[string]struct {
		behave        func(net.Conn, int)
		options, want string
	}{
		"first":              {overTLS, "&tls=first", ""},
		"greets before":      {speaksNATS, "&tls=first", "TLS handshake: the server greets before TLS: take tls=first out of the URL, or set the server's handshake_first"},
		"waits for TLS":      {overTLS, "", "greeting: no answer in time; a server with handshake_first needs tls=first in the URL"},
		"tired of waiting":   {func(c net.Conn, _ int) { c.Close() }, "", "greeting: the server closed the connection; a server with handshake_first needs tls=first in the URL"},
		"another over TLS":   {func(c net.Conn, _ int) { io.WriteString(tls.Server(c, certificate), "hunter2\r\n") }, "&tls=first", "greeting: it is not NATS"},
		"silent after TLS":   {func(c net.Conn, _ int) { tls.Server(c, certificate).Handshake() }, "&tls=first", "greeting: no answer in time"},
		"half of a greeting": {func(c net.Conn, _ int) { io.WriteString(c, "INFO {") }, "", "greeting: no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, c.behave)
			run := runs(t, fmt.Sprintf("nats://u:hunter2@%s?server_name=svc.test&ca_file=%s%s", p.Addr(), ca.File, c.options), enough(c.want))
			for range 2 {
				says(t, run(), c.want)
			}
		})
	}
}

// The seed and the public key are those of an example in NATS's documents.
func TestTheKeyOfANATSUserProvesHim(t *testing.T) {
	const seed, public = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY", "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
	for name, content := range map[string]string{
		"nkey":  seed + "\n",
		"creds": "-----BEGIN NATS USER JWT-----\neyJhbGciOiJ4In0\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n" + seed + "\n------END USER NKEY SEED------\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := harness.File(t, "creds", content)
			credentials, err := readNATSCredentials(file)
			harness.Must(t, err)
			hellos := make(chan map[string]any, 1)
			p := newPeer(t, func(conn net.Conn, _ int) {
				io.WriteString(conn, "INFO {\"nonce\":\"n-1\"}\r\n")
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if text, is := strings.CutPrefix(lines.Text(), "CONNECT "); is {
						var hello map[string]any
						json.Unmarshal([]byte(text), &hello)
						hellos <- hello
					} else {
						io.WriteString(conn, "PONG\r\n")
					}
				}
			})
			says(t, ask(t, fmt.Sprintf("nats://%s?creds_file=%s", p.Addr(), file), ample), "")
			hello := <-hellos
			signature, err := base64.RawURLEncoding.DecodeString(fmt.Sprint(hello["sig"]))
			if err != nil || !ed25519.Verify(credentials.key.Public().(ed25519.PublicKey), []byte("n-1"), signature) {
				t.Errorf("%v, the signature is %v", err, hello["sig"])
			}
			if name == "nkey" && hello["nkey"] != public || name == "creds" && hello["jwt"] != "eyJhbGciOiJ4In0" {
				t.Errorf("it says %v", hello)
			}
			if strings.Contains(fmt.Sprint(hello), seed) {
				t.Error("it sends the seed")
			}
			harness.Must(t, os.WriteFile(file, []byte(strings.Replace(seed, "7", "6", 1)), 0o600))
			if _, err := readNATSCredentials(file); err == nil {
				t.Error("a seed with a wrong checksum is taken")
			}
		})
	}
}

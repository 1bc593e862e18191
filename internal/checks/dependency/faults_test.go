package dependency

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// A scheme over TLS is broken in overTLS, any other in spoken; dns has its own tests.
func TestEveryKindIsBroken(t *testing.T) {
	broken := map[bool]map[string]bool{false: {"DNS": true}, true: {}}
	for scheme := range spoken {
		broken[false][kinds[scheme].protocol] = true
	}
	for scheme := range overTLS {
		broken[true][kinds[scheme].protocol] = true
	}
	for scheme, k := range kinds {
		if !broken[k.overTLS][k.protocol] {
			t.Errorf("%s has no row in spoken or, if it is over TLS, in overTLS", scheme)
		}
	}
}

func TestFaultsOfEachKind(t *testing.T) {
	var all together
	defer all.Wait()
	for kind, s := range spoken {
		first := s.silent + ": "
		garbage := first + "it is not " + s.protocol + "|" + first + "its answer can't be read as " + s.protocol
		switch kind {
		case "tcp":
			garbage = first + "the answer is not as expected"
		case "grpc":
			garbage = "it is not gRPC|the server ended the HTTP/2 connection, or broke its rules|the server closed the connection"
		}
		asked := func(c net.Conn) {
			if !slices.Contains([]string{"mysql", "nats", "smtp"}, kind) { // whose server speaks first
				c.Read(make([]byte, 4096))
			}
		}
		const noEnd = ": it is not|can't be read as|longer than 64 KiB|the answer is not as expected|HTTP/2"
		type fault struct {
			behave func(c net.Conn, n int)
			want   string
		}
		faults := map[string]fault{
			"accepts and is silent": {func(net.Conn, int) {}, first + "no answer in time"},
			"drips": {func(c net.Conn, _ int) {
				asked(c)
				for _, b := range []byte(s.begin) {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(brief / 16)
				}
			}, ": no answer in time"},
			"garbage":         {func(c net.Conn, _ int) { asked(c); io.WriteString(c, "\x7f\xffhunter2\r\nhunter2\r\n") }, garbage},
			"without end":     {endless(strings.Repeat("hunter2 ", 512)), noEnd},
			"lines, no end":   {endless(strings.Repeat("+OK\r\n", 800)), noEnd},
			"closes":          {func(c net.Conn, _ int) { c.Close() }, "the server closed the connection|connection reset by peer|ended the HTTP/2 connection"},
			"resets":          {func(c net.Conn, _ int) { c.(*net.TCPConn).SetLinger(0); c.Close() }, "connection reset by peer|the server closed the connection|ended the HTTP/2 connection"},
			"closes half way": {func(c net.Conn, _ int) { asked(c); io.WriteString(c, s.begin); c.Close() }, "the server closed the connection|connection reset by peer|ended the HTTP/2 connection"},
		}
		if s.refuse != "" {
			faults["an error"] = fault{func(c net.Conn, _ int) { asked(c); io.WriteString(c, s.refuse) }, s.refused}
		}
		for name, f := range faults {
			all.run(t, kind+" "+name, func(t *testing.T) {
				p := newPeer(t, f.behave)
				failing(t, p, fmt.Sprintf(s.url, p.Addr()), f.want)
			})
		}
	}
}

// failing makes some runs that must all fail, in time, with one of these words, no password, and one connection.
func failing(t *testing.T, p *peer, url, want string) {
	t.Helper()
	timeout := enough(want)
	run := runs(t, url, timeout)
	for range 2 {
		began := time.Now()
		err := run()
		if took := time.Since(began); took > timeout+time.Second {
			t.Errorf("took %v of %v", took, timeout)
		}
		if err == nil {
			t.Fatal("it passed")
		}
		ok := false
		for words := range strings.SplitSeq(want, "|") {
			ok = ok || strings.Contains(err.Error(), words)
		}
		if !ok || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), ": ") {
			t.Errorf("got %q, want %q", err, want)
		}
		p.settles(t)
	}
	if _, most, _ := p.counted(); most > 1 {
		t.Errorf("%d connections at once", most)
	}
}

// goroutines are the stacks of all goroutines, by their numbers.
func goroutines() map[string]string {
	text := make([]byte, 1<<20)
	text = text[:runtime.Stack(text, true)]
	stacks := make(map[string]string)
	for stack := range strings.SplitSeq(string(text), "\n\n") {
		number, _, _ := strings.Cut(stack, " [")
		stacks[number] = stack
	}
	return stacks
}

// noneLeft waits until the goroutines that were not there before have ended.
func noneLeft(t *testing.T, before map[string]string) {
	t.Helper()
	var left map[string]string
	if !harness.Until(ample, func() bool {
		left = goroutines()
		maps.DeleteFunc(left, func(number, _ string) bool { _, was := before[number]; return was })
		return len(left) == 0
	}) {
		t.Fatalf("%d goroutines more than before:\n%s", len(left), strings.Join(slices.Collect(maps.Values(left)), "\n\n"))
	}
}

func endless(part string) func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		for {
			if _, err := io.WriteString(c, part); err != nil {
				return
			}
		}
	}
}

func TestARefusedConnectionAndAnUnknownNameAreSaidOfEachKind(t *testing.T) {
	addr := fmt.Sprint("127.0.0.1:", harness.Port(t))
	for scheme := range kinds {
		url := scheme + "://%s"
		switch scheme {
		case "dns":
			url = "dns://%s/name"
		case "postgres", "postgresql", "mysql", "mariadb":
			url = scheme + "://u:hunter2@%s/db"
		}
		want := "connect: " + addr + ": connection refused"
		if scheme == "dns" {
			want = "query: the name server refuses connections"
		}
		says(t, runs(t, fmt.Sprintf(url, addr), ample)(), want)
		want = "name lookup: " // what follows is up to this machine's name server
		if err := runs(t, fmt.Sprintf(url, "no-such-host.invalid:1"), ample)(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s = %v, want %s", scheme, err, want)
		}
	}
}

func TestWhatIsWrongWithANameIsSaid(t *testing.T) {
	for err, want := range map[*net.DNSError]string{
		{Err: "no such host", Name: "users", IsNotFound: true}:                                     "name lookup: users: no such name",
		{Err: "read udp 10.0.0.1:9->10.0.0.2:53: read: connection refused", Server: "10.0.0.2:53"}: "name lookup: the name server refuses connections",
		{Err: "server misbehaving", Name: "hunter2", Server: "10.0.0.2:53", IsTemporary: true}:     "name lookup: the name server does not work",
		{Err: "dial udp 192.0.2.1:53: connect: network is unreachable", Name: "hunter2"}:           "name lookup: no route leads from here to the name server",
		{Err: "read udp 10.0.0.1:9->10.0.0.2:53: read: no route to host", Name: "hunter2"}:         "name lookup: no route leads from here to the name server",
		{Err: "i/o timeout", Name: "hunter2", Server: "10.0.0.2:53", IsTimeout: true}:              "name lookup: no answer in time",
		{Err: "cannot unmarshal DNS message", Name: "hunter2", Server: "10.0.0.2:53"}:              "name lookup: the name server does not work",
	} {
		at := nameLookup
		if got := describe(&net.OpError{Op: "dial", Net: "tcp", Err: err}, &at, "Redis").Error(); got != want {
			t.Errorf("%v is said as %q, want %q", err, got, want)
		}
	}
}

func TestCertificatesAreVerifiedByEachKind(t *testing.T) {
	ca, other := harness.NewAuthority(t), harness.NewAuthority(t)
	ended, misnamed := ca.Server(t, -time.Hour, "svc.test"), ca.Server(t, time.Hour, "other.test")
	foreign, good := other.Server(t, time.Hour, "svc.test"), ca.Server(t, 1000*time.Hour, "svc.test")
	var all together
	defer all.Wait()
	for kind, s := range overTLS {
		for name, f := range map[string]struct {
			config *tls.Config
			want   string
		}{
			"ended":     {ended, "TLS handshake: its certificate ended on " + day(time.Now().Add(-time.Hour))},
			"misnamed":  {misnamed, "TLS handshake: its certificate is for another name than svc.test"},
			"foreign":   {foreign, "TLS handshake: its certificate is signed by an unknown authority"},
			"silent":    {nil, "TLS handshake: no answer in time"},
			"plaintext": {nil, "TLS handshake: it does not speak TLS|greeting: it is not NATS|greeting: it is not SMTP"},
			"then none": {good, ": no answer in time"},
		} {
			all.run(t, kind+" "+name, func(t *testing.T) {
				p := newPeer(t, func(c net.Conn, _ int) {
					if s.before == "S" {
						io.ReadFull(c, make([]byte, len(sslRequest)))
					}
					if kind == "smtp" {
						for line := range strings.Lines(s.before) {
							io.WriteString(c, line)
							if line != "220 b\r\n" {
								c.Read(make([]byte, 512))
							}
						}
					} else {
						io.WriteString(c, s.before)
					}
					if kind == "mysql" {
						io.ReadFull(c, make([]byte, 36))
					}
					if name == "plaintext" {
						io.WriteString(c, "hunter2 hunter2 hunter2\r\n")
					}
					if f.config != nil {
						tls.Server(c, f.config).Handshake()
					}
				})
				url := fmt.Sprintf(s.url, p.Addr(), ca.File)
				if kind == "tls" && name == "then none" {
					url += "&expect=hello"
				}
				failing(t, p, url, f.want)
			})
		}
	}
}

// A run must not leave anything behind, however it ended.
func TestNoGoroutineIsLeftAfterManyFailingRuns(t *testing.T) {
	var all []string
	peers := []*peer{newPeer(t, func(net.Conn, int) {}), newPeer(t, func(c net.Conn, _ int) { io.WriteString(c, "hunter2\r\n") })}
	for _, p := range peers {
		for _, s := range spoken {
			all = append(all, fmt.Sprintf(s.url, p.Addr()))
		}
		for _, s := range overTLS {
			all = append(all, fmt.Sprintf(s.url, p.Addr(), harness.NewAuthority(t).File))
		}
		all = append(all, fmt.Sprintf("dns://%s/name", p.Addr()), fmt.Sprintf("tcp://%s", p.Addr()))
	}
	before := goroutines()
	var running sync.WaitGroup
	for _, url := range all {
		run := runs(t, url, 20*time.Millisecond)
		running.Go(func() {
			for range 20 {
				run()
			}
		})
	}
	running.Wait()
	for _, p := range peers {
		p.settles(t)
	}
	noneLeft(t, before)
}

// spoken is how each kind is asked and how a server of it begins: enough for a peer to misbehave at each place.
var spoken = map[string]struct {
	url      string // with one %s for the address
	silent   string // the phase in which it waits for the first byte
	begin    string // what a real server sends first, or to the first question
	refuse   string // an error of that server
	refused  string // and what is said of it
	protocol string
}{
	"http":      {"http://u:hunter2@%s/", "waiting for the answer", "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n" + strings.Repeat("x", 80), "HTTP/1.1 503 hunter2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "answer: it answers 503 Service Unavailable", "HTTP"},
	"tcp":       {"tcp://%s?send=PASS+hunter2%%0A&expect=hello+there", "waiting for the answer", "hello ther", "no", "waiting for the answer: the answer is not as expected", ""},
	"grpc":      {"grpc://%s", "waiting for the answer", "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "", "", ""},
	"redis":     {"redis://u:hunter2@%s/1?plaintext_login=allow", "authentication", "+O", "-WRONGPASS hunter2\r\n", "authentication: the server refuses the user name or password (WRONGPASS)", "Redis"},
	"nats":      {"nats://u:hunter2@%s?plaintext_login=allow", "greeting", "INFO {\"server_id\":\"x\"", "INFO {}\r\n-ERR 'Authorization Violation hunter2'\r\n", "authentication: the server refuses the user name, password or token", "NATS"},
	"amqp":      {"amqp://u:hunter2@%s?plaintext_login=allow", "greeting", "\x01\x00\x00\x00\x00\x00\x20\x00\x0a\x00\x0a", "\x01\x00\x00\x00\x00\x00\x12\x00\x0a\x00\x32\x02\x12\x07hunter2\x00\x00\x00\x00\xce", "greeting: there is no such virtual host, it is down, or it is not for this user (530)", "AMQP"},
	"memcached": {"memcached://%s", "query", "VERS", "SERVER_ERROR hunter2\r\n", "query: the server answers an error", "memcached"},
	"mqtt":      {"mqtt://u:hunter2@%s?plaintext_login=allow", "authentication", "\x20\x02\x00", "\x20\x02\x00\x04", "authentication: the broker refuses the user name or password (4)", "MQTT"},
	"smtp":      {"smtp://u:hunter2@%s?plaintext_login=allow", "greeting", "220 he", "554 hunter2\r\n", "greeting: the server takes no mail from this host (554)", "SMTP"},
	"ldap":      {"ldap://cn=u:hunter2@%s?plaintext_login=allow", "authentication", "\x30\x0c\x02\x01\x01", "\x30\x13\x02\x01\x01\x61\x0e\x0a\x01\x31\x04\x00\x04\x07hunter2", "authentication: the server refuses the user name or password (49)", "LDAP"},
	"mysql":     {"mysql://u:hunter2@%s/db", "greeting", "\x4a\x00\x00\x00\x0a", "\x17\x00\x00\x00\xff\x10\x04#08004hunter2hunter2", "greeting: the server has too many connections (1040)", "MySQL"},
	"mongodb":   {"mongodb://u:hunter2@%s", "greeting", "\x40\x00\x00\x00\x01", mongoMessage("\x10code\x00\x5b\x00\x00\x00\x02errmsg\x00\x08\x00\x00\x00hunter2\x00"), "greeting: the server is stopping (91)", "MongoDB"},
	"kafka":     {"kafka://u:hunter2@%s", "greeting", "\x00\x00\x00\x10\x00\x00\x00", kafkaReply(1, kafkaKnows) + kafkaReply(2, "\x00\x00\x00\x00\x00\x00") + kafkaReply(3, "\x00\x3a\x00\x07hunter2\x00\x00\x00\x00"), "authentication: the broker refuses the user name or password (58)", "Kafka"},
	"postgres":  {"postgres://u:hunter2@%s/db?sslmode=disable", "authentication", "R\x00\x00\x00", "E\x00\x00\x00\x1cSFATAL\x00C28P01\x00Mhunter2\x00\x00", "authentication: the server refuses the user name, the password or this host (28P01)", "PostgreSQL"},
}

// mongoMessage is a message with these elements of BSON.
func mongoMessage(elements string) string {
	size := func(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }
	n := len(elements) + 5
	return size(n+21) + size(1) + size(1) + size(2013) + size(0) + "\x00" + size(n) + elements + "\x00"
}

// kafkaKnows is the answer of a broker that knows Metadata up to 12.
const kafkaKnows = "\x00\x00\x00\x00\x00\x01\x00\x03\x00\x00\x00\x0c"

// kafkaReply is the answer to request id.
func kafkaReply(id uint32, body string) string {
	size := func(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
	return size(uint32(4+len(body))) + size(id) + body
}

// mySQLGreeting is of a server that has TLS and caching_sha2_password.
const mySQLGreeting = "\x46\x00\x00\x00\x0a8\x00\x01\x00\x00\x00abcdefgh\x00\x00\x8a\xff\x02\x02\x00\x08\x00\x15" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00caching_sha2_password\x00"

// overTLS are the kinds over TLS, of servers named svc.test; a server of some says something before it.
var overTLS = map[string]struct{ url, before string }{
	"https":    {"https://%s/?server_name=svc.test&ca_file=%s", ""},
	"tls":      {"tls://%s?server_name=svc.test&ca_file=%s", ""},
	"grpcs":    {"grpcs://%s?server_name=svc.test&ca_file=%s", ""},
	"rediss":   {"rediss://u:hunter2@%s?server_name=svc.test&ca_file=%s", ""},
	"amqps":    {"amqps://u:hunter2@%s?server_name=svc.test&ca_file=%s", ""},
	"valkeys":  {"valkeys://u:hunter2@%s?server_name=svc.test&ca_file=%s", ""},
	"mqtts":    {"mqtts://u:hunter2@%s?server_name=svc.test&ca_file=%s", ""},
	"kafkas":   {"kafkas://u:hunter2@%s?server_name=svc.test&ca_file=%s", ""},
	"ldaps":    {"ldaps://cn=u:hunter2@%s?server_name=svc.test&ca_file=%s", ""},
	"smtps":    {"smtps://u:hunter2@%s?server_name=svc.test&ca_file=%s", ""},
	"smtp":     {"smtp://u:hunter2@%s?server_name=svc.test&ca_file=%s", "220 a\r\n250 STARTTLS\r\n220 b\r\n"},
	"mysql":    {"mysql://u:hunter2@%s/db?server_name=svc.test&ca_file=%s", mySQLGreeting},
	"mongodb":  {"mongodb://u:hunter2@%s?server_name=svc.test&ca_file=%s", ""},
	"nats":     {"nats://u:hunter2@%s?server_name=svc.test&ca_file=%s", "INFO {\"tls_required\":true}\r\n"},
	"nats 1st": {"nats://u:hunter2@%s?tls=first&server_name=svc.test&ca_file=%s", ""},
	"postgres": {"postgres://u:hunter2@%s/db?server_name=svc.test&ca_file=%s", "S"},
}

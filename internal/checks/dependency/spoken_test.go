package dependency

import (
	"encoding/binary"
	"strings"
)

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

// Package dependency makes checks of other services from their URLs; the scheme picks the kind.
// It owns the protocols and how often a service that refuses connections is dialled. It knows nothing of
// schedules, of what is published, or of what a failure means.
package dependency

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// kinds are all schemes. A new kind is a file and a line here; the tests then name the tests and documents that lack
// it.
var kinds = map[string]kind{
	"amqp":       {newAMQP, "AMQP", "5672", withPath | withUser, false},
	"amqps":      {newAMQP, "AMQP", "5671", withPath | withUser, true},
	"dns":        {newDNS, "DNS", "53", withPath | withoutHost, false},
	"grpc":       {newGRPC, "gRPC", "", 0, false},
	"grpcs":      {newGRPC, "gRPC", "", 0, true},
	"http":       {newHTTP, "HTTP", "80", withPath | withUser | withSocket, false},
	"https":      {newHTTP, "HTTP", "443", withPath | withUser | withSocket, true},
	"kafka":      {newKafka, "Kafka", "9092", withUser, false},
	"kafkas":     {newKafka, "Kafka", "9093", withUser, true},
	"ldap":       {newLDAP, "LDAP", "389", withUser, false},
	"ldaps":      {newLDAP, "LDAP", "636", withUser, true},
	"mariadb":    {newMySQL, "MySQL", "3306", withPath | withUser | withSocket, false},
	"memcached":  {newMemcached, "memcached", "11211", withSocket, false},
	"mongodb":    {newMongoDB, "MongoDB", "27017", withPath | withUser, false},
	"mqtt":       {newMQTT, "MQTT", "1883", withUser, false},
	"mqtts":      {newMQTT, "MQTT", "8883", withUser, true},
	"mysql":      {newMySQL, "MySQL", "3306", withPath | withUser | withSocket, false},
	"nats":       {newNATS, "NATS", "4222", withUser, false},
	"postgres":   {newPostgres, "PostgreSQL", "5432", withPath | withUser | withSocket | withHosts, false},
	"postgresql": {newPostgres, "PostgreSQL", "5432", withPath | withUser | withSocket | withHosts, false},
	"redis":      {newRedis, "Redis", "6379", withPath | withUser | withSocket, false},
	"rediss":     {newRedis, "Redis", "6379", withPath | withUser | withSocket, true},
	"smtp":       {newSMTP, "SMTP", "25", withUser, false},
	"smtps":      {newSMTP, "SMTP", "465", withUser, true},
	"tcp":        {newTCP, "what was expected", "", 0, false},
	"tls":        {newTCP, "what was expected", "", 0, true},
	"valkey":     {newRedis, "Redis", "6379", withPath | withUser | withSocket, false},
	"valkeys":    {newRedis, "Redis", "6379", withPath | withUser | withSocket, true},
}

// Schemes returns the scheme of every kind, sorted.
func Schemes() []string { return slices.Sorted(maps.Keys(kinds)) }

// Asker asks one service, over a connection that it keeps between runs where the kind allows that.
type Asker struct {
	hosts []*target // of the URL: the service is healthy if one of them is
	last  int       // index of the host that was healthy last; it is asked first
	wait  backoff
}

// New returns an Asker of the service at rawURL. timeout is the usual length of a run; the hosts of a URL and the
// addresses of a name share it. When connecting has failed more than failAfter times in a row, the next attempts wait
// up to maxBackoff.
//
// New opens no connection. Its error lists every fault of the URL and its options; it repeats no values.
func New(rawURL string, timeout time.Duration, failAfter int) (*Asker, error) {
	urls := eachHost(rawURL)
	a := &Asker{wait: backoff{failAfter: failAfter, first: timeout}}
	var faults []string
	for _, one := range urls {
		h, err := newTarget(one, timeout/time.Duration(len(urls)))
		if err != nil {
			return nil, err
		}
		if len(urls) > 1 && h.socket != "" {
			h.fault("names several hosts and a socket: there is one behind it")
		}
		for _, fault := range h.faults {
			if !slices.Contains(faults, fault) {
				faults = append(faults, fault)
			}
		}
		a.hosts = append(a.hosts, h)
	}
	if len(faults) > 0 {
		return nil, errors.New(strings.Join(faults, "; "))
	}
	return a, nil
}

// Ask asks once, and stops when ctx is done. It must not be called twice at once.
//
// Its errors start with the phase that failed, and hold no password and nothing that the service sent. Those of several
// hosts have the name of each before it. A warning.Error means that the service is healthy and says what will end
// that. A run that waits to connect returns the last error again, with a method Skipped.
func (a *Asker) Ask(ctx context.Context) error {
	if err := a.wait.held(); err != nil {
		return err
	}
	opening, err := a.askHosts(ctx)
	a.wait.note(err, opening)
	return err
}

// Close ends the connection that is kept. No run may be under way, and none may follow.
func (a *Asker) Close() {
	for _, h := range a.hosts {
		h.hangUp()
	}
}

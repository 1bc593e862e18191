package dependency

import (
	"context"
	"encoding/binary"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// newKafka asks for the versions of requests, logs in by SASL if the URL has a user, and asks for the metadata of the
// topics in option topic: kafka://user:password@host:9092?topic=orders,payments. Each must exist and have a leader for
// every partition. Only this broker is asked: the addresses that it advertises are not followed.
func newKafka(t *target) question {
	user, password := t.login()
	if (user == "") != (password == "") {
		t.fault("must have both a user and a password, or none")
	}
	mechanism := ""
	if user != "" {
		mechanism = t.word("sasl", "scram-sha-256", "scram-sha-512", "plain")
	} else if t.take("sasl") != "" {
		t.fault("must have a user and a password for its option sasl")
	}
	if mechanism == "plain" {
		t.guardPassword()
	}
	topics := t.kafkaTopics()
	return t.keep(func(_ context.Context, at *phase, s *session) (link, error) {
		k := &kafka{session: s, topics: topics}
		*at = greeting
		if err := k.versions(); err != nil || user == "" {
			return k, err
		}
		*at = authentication
		return k, k.login(strings.ToUpper(mechanism), user, password)
	})
}

var kafkaTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

func (t *target) kafkaTopics() []string {
	value := t.take("topic")
	if value == "" {
		return nil
	}
	topics := strings.Split(value, ",")
	odd := func(name string) bool { return len(name) > 249 || !kafkaTopic.MatchString(name) }
	if len(topics) > 100 || slices.ContainsFunc(topics, odd) {
		t.fault("must have up to 100 names of topics as its option topic, such as orders,payments")
	}
	return topics
}

// The requests, by their numbers in the protocol, and the version of each.
const (
	kafkaMetadata, metadataVersion         = 3, 4 // the first that can forbid to create a topic: Kafka 0.11
	kafkaHandshake, handshakeVersion       = 17, 1
	kafkaVersions, versionsVersion         = 18, 0
	kafkaAuthenticate, authenticateVersion = 36, 0
)

type kafka struct {
	*session
	id     uint32 // of the last request
	topics []string
}

// versions asks which requests the broker knows.
func (k *kafka) versions() error {
	r, err := k.request(kafkaVersions, versionsVersion, nil)
	if err != nil {
		return err
	}
	code, known := r.int16(), false
	for range r.count(6) {
		key, least, most := r.int16(), r.int16(), r.int16()
		known = known || key == kafkaMetadata && least <= metadataVersion && metadataVersion <= most
	}
	switch {
	case r.bad:
		return errNotSpoken
	case code != 0:
		return kafkaFailure(code)
	case !known:
		return verdictf("the broker does not know Metadata 4 (Kafka 0.11 and later)")
	}
	return nil
}

func (k *kafka) login(mechanism, user, password string) error {
	r, err := k.request(kafkaHandshake, handshakeVersion, appendText16(nil, mechanism))
	if err != nil {
		return err
	}
	if code := r.int16(); code != 0 {
		return kafkaFailure(code)
	}
	switch mechanism {
	case "PLAIN":
		_, err = k.authenticate("\x00" + user + "\x00" + password)
		return err
	case "SCRAM-SHA-512":
		return scramLogin(scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), k.authenticate)
	}
	return scramLogin(scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), k.authenticate)
}

// authenticate sends a message of SASL and returns the broker's.
func (k *kafka) authenticate(message string) (string, error) {
	body := binary.BigEndian.AppendUint32(nil, uint32(len(message)))
	r, err := k.request(kafkaAuthenticate, authenticateVersion, append(body, message...))
	if err != nil {
		return "", err
	}
	code := r.int16()
	r.text() // the broker's words
	answer := r.take(r.count(1))
	switch {
	case code != 0:
		return "", kafkaFailure(code)
	case r.bad:
		return "", errNotSpoken
	}
	return string(answer), nil
}

// ask asks for the metadata of the topics, and to create none of them.
func (k *kafka) ask(_ context.Context, at *phase) error {
	*at = query
	body := binary.BigEndian.AppendUint32(nil, uint32(len(k.topics)))
	for _, topic := range k.topics {
		body = appendText16(body, topic)
	}
	const createNone = 0
	r, err := k.request(kafkaMetadata, metadataVersion, append(body, createNone))
	if err != nil {
		return err
	}
	found, brokers := r.metadata()
	switch {
	case r.bad:
		return errNotSpoken
	case brokers == 0:
		return verdictf("the broker knows no brokers: it is not in its cluster")
	}
	for _, topic := range k.topics {
		of, is := found[topic]
		if !is {
			return errNotSpoken
		}
		if err := of.failure(topic); err != nil {
			return err
		}
	}
	return nil
}

// request sends one and returns the body of its answer.
func (k *kafka) request(key, version uint16, body []byte) (*kafkaReader, error) {
	k.id++
	var message []byte
	for _, n := range []uint16{key, version} {
		message = binary.BigEndian.AppendUint16(message, n)
	}
	message = appendText16(binary.BigEndian.AppendUint32(message, k.id), "accountservice-health")
	message = append(message, body...)
	if _, err := k.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)); err != nil {
		return nil, err
	}
	var head [8]byte // the length, and which request it answers
	if _, err := io.ReadFull(k.r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	switch {
	case size < 4, binary.BigEndian.Uint32(head[4:]) != k.id:
		return nil, errNotSpoken
	case size > maxAnswer:
		return nil, errTooLong
	}
	answer := make([]byte, size-4)
	_, err := io.ReadFull(k.r, answer)
	return &kafkaReader{rest: answer}, err
}

// kafkaFailure is what an error code means, but for one of a topic.
func kafkaFailure(code int16) error {
	return coded(code, map[int16]string{
		29: "this user may not describe the topic",
		31: "this user may not use the cluster",
		33: "the broker does not have this mechanism of SASL: see option sasl",
		34: "the broker wants no login on this port",
		35: "the broker does not know the version of a request",
		58: "the broker refuses the user name or password",
	})
}

package dependency

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
)

// kafkaBroker answers each request with the next body, and stops after the last.
func kafkaBroker(bodies ...string) func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		for i, body := range bodies {
			var size [4]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:])))
			io.WriteString(c, kafkaReply(uint32(i+1), body))
		}
	}
}

// kafkaMetadataOf is an answer of one broker, which advertises an address where nobody is, with these topics.
func kafkaMetadataOf(topics ...string) string {
	head := "\x00\x00\x00\x00" + "\x00\x00\x00\x01" + "\x00\x00\x00\x01\x00\x07hunter2\x00\x00\x00\x01\xff\xff" + "\xff\xff" + "\x00\x00\x00\x01"
	return head + string(binary.BigEndian.AppendUint32(nil, uint32(len(topics)))) + strings.Join(topics, "")
}

// kafkaTopicOf is a topic with this error and the leaders of its partitions.
func kafkaTopicOf(code int16, name string, leaders ...int32) string {
	b := appendText16(binary.BigEndian.AppendUint16(nil, uint16(code)), name)
	b = binary.BigEndian.AppendUint32(append(b, 0), uint32(len(leaders)))
	for i, leader := range leaders {
		b = binary.BigEndian.AppendUint32(append(b, 0, 0), uint32(i))
		b = binary.BigEndian.AppendUint32(b, uint32(leader))
		b = append(b, "\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01"...)
	}
	return string(b)
}

func TestWhatAKafkaBrokerSaysOfTopics(t *testing.T) {
	good := kafkaTopicOf(0, "a", 1, 1)
	for name, c := range map[string]struct{ metadata, want string }{
		"all well":              {kafkaMetadataOf(good, kafkaTopicOf(0, "b", 1)), ""},
		"an unknown topic":      {kafkaMetadataOf(good, kafkaTopicOf(3, "b")), "query: there is no topic b, or it is hidden from this user"},
		"a forbidden topic":     {kafkaMetadataOf(good, kafkaTopicOf(29, "b")), "query: this user may not describe the topic (29)"},
		"no leader":             {kafkaMetadataOf(kafkaTopicOf(0, "b", 1, 1, -1, -1), good), "query: topic b has no leader for partition 2"},
		"no partition":          {kafkaMetadataOf(good, kafkaTopicOf(0, "b")), "query: topic b has no leader"},
		"no leader yet":         {kafkaMetadataOf(good, kafkaTopicOf(5, "b")), "query: topic b has no leader"},
		"an unknown error":      {kafkaMetadataOf(good, kafkaTopicOf(-1, "b")), "query: the server answers error -1"},
		"another topic":         {kafkaMetadataOf(good, kafkaTopicOf(0, "hunter2", 1)), "query: it is not Kafka"},
		"no brokers":            {"\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00", "query: the broker knows no brokers: it is not in its cluster"},
		"a longer list":         {kafkaMetadataOf(good)[:33] + "\x7f\xff\xff\xff", "query: it is not Kafka"},
		"a negative list":       {kafkaMetadataOf(good)[:33] + "\xff\xff\xff\xfe", "query: it is not Kafka"},
		"a text longer than it": {"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x7f\xffhunter2", "query: it is not Kafka"},
		"too much":              {strings.Repeat("hunter2 ", 10<<10), "query: its answer is longer than 64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, kafkaBroker(kafkaKnows, c.metadata))
			says(t, ask(t, fmt.Sprintf("kafka://%s?topic=a,b", p.Addr()), ample), c.want)
			if _, _, total := p.counted(); total != 1 {
				t.Errorf("%d connections, want 1", total)
			}
		})
	}
}

func TestAnAnswerThatEndsEarlyIsNoMetadata(t *testing.T) {
	whole := []byte(kafkaMetadataOf(kafkaTopicOf(0, "a", 1, 1)))
	for n := range whole {
		r := &kafkaReader{rest: whole[:n]}
		if r.metadata(); !r.bad {
			t.Errorf("%d of %d bytes are taken for whole", n, len(whole))
		}
	}
	r := &kafkaReader{rest: bytes.Clone(whole)}
	if topics, brokers := r.metadata(); r.bad || brokers != 1 || topics["a"].partitions != 2 {
		t.Errorf("the whole is %v, %v, %v", topics, brokers, r.bad)
	}
}

func TestAKafkaBrokerThatIsNotAsExpected(t *testing.T) {
	const ok = "\x00\x00\x00\x00\x00\x00"
	const first = "\x00\x00\xff\xff\x00\x00\x00\x17r=hunter2,s=QUJD,i=4096"
	for want, bodies := range map[string][]string{
		"greeting: the broker does not know Metadata 4 (Kafka 0.11 and later)":                  {"\x00\x00\x00\x00\x00\x01\x00\x03\x00\x00\x00\x03"},
		"greeting: the broker does not know the version of a request (35)":                      {"\x00\x23\x00\x00\x00\x00"},
		"authentication: the broker does not have this mechanism of SASL: see option sasl (33)": {kafkaKnows, "\x00\x21\x00\x00\x00\x00"},
		"authentication: the broker wants no login on this port (34)":                           {kafkaKnows, "\x00\x22\x00\x00\x00\x00"},
		"authentication: it is not Kafka":                                                       {kafkaKnows, ok, first},
		"authentication: no answer in time":                                                     {kafkaKnows, ok},
	} {
		t.Run(want, func(t *testing.T) {
			p := newPeer(t, kafkaBroker(bodies...))
			failing(t, p, fmt.Sprintf("kafka://u:hunter2@%s", p.Addr()), want)
		})
	}
}

// No length is believed before it is compared with what can come.
func TestALengthOfAKafkaBrokerIsBounded(t *testing.T) {
	r := &kafkaReader{rest: []byte("\x00\x00\x00\x03" + "two elements")}
	if n := r.count(6); n != 0 || !r.bad {
		t.Errorf("a list of 3 in the space of 2 is one of %d", n)
	}
	p := newPeer(t, func(c net.Conn, _ int) {
		c.Read(make([]byte, 512))
		io.WriteString(c, "\x7f\xff\xff\xff\x00\x00\x00\x01hunter2")
		c.Close()
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	says(t, ask(t, fmt.Sprintf("kafka://%s", p.Addr()), ample), "greeting: its answer is longer than 64 KiB")
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("the run took %d bytes of memory", took)
	}
}

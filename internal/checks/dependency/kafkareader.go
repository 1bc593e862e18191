package dependency

import "encoding/binary"

// kafkaReader reads an answer. bad is set once it is not whole; all that is read then is zero.
type kafkaReader struct {
	rest []byte
	bad  bool
}

func (r *kafkaReader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *kafkaReader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *kafkaReader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// text is a text after its length, which is -1 for none.
func (r *kafkaReader) text() string {
	n := int(r.int16())
	if n == -1 {
		return ""
	}
	return string(r.take(n))
}

// count is the length of a list whose elements have this many bytes or more; -1 is none. So a list is never longer than
// what is left.
func (r *kafkaReader) count(least int) int {
	n := int(r.int32())
	if n == -1 {
		return 0
	}
	if n < 0 || n > len(r.rest)/least {
		r.bad, r.rest = true, nil
		return 0
	}
	return n
}

// kafkaTopicState is what the metadata says of a topic.
type kafkaTopicState struct {
	code       int16
	partitions int
	leaderless int32 // the first partition without a leader, -1 if there is none
}

// metadata reads what there is of each topic, and how many brokers the broker knows.
func (r *kafkaReader) metadata() (topics map[string]kafkaTopicState, brokers int) {
	r.int32() // throttled for so long
	brokers = r.count(12)
	for range brokers {
		r.int32()
		r.text()
		r.int32()
		r.text()
	}
	r.text()  // the cluster
	r.int32() // its controller
	topics = map[string]kafkaTopicState{}
	for range r.count(9) {
		topic := kafkaTopicState{code: r.int16(), leaderless: -1}
		name := r.text()
		r.take(1) // is internal
		topic.partitions = r.count(18)
		for range topic.partitions {
			code, number, leader := r.int16(), r.int32(), r.int32()
			if topic.leaderless == -1 && (leader < 0 || code == leaderNotAvailable) {
				topic.leaderless = number
			}
			r.take(4 * r.count(4)) // replicas
			r.take(4 * r.count(4)) // those in sync
		}
		topics[name] = topic
	}
	return topics, brokers
}

const unknownTopic, leaderNotAvailable = 3, 5

// failure is what is wrong with the topic of this name, or nil.
func (s kafkaTopicState) failure(name string) error {
	switch {
	case s.code == unknownTopic:
		return verdictf("there is no topic %s, or it is hidden from this user", name)
	case s.code != 0 && s.code != leaderNotAvailable:
		return kafkaFailure(s.code)
	case s.leaderless >= 0:
		return verdictf("topic %s has no leader for partition %d", name, s.leaderless)
	case s.code != 0, s.partitions == 0:
		return verdictf("topic %s has no leader", name)
	}
	return nil
}

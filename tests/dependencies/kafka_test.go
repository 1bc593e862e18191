//go:build linux

package dependencies

import (
	"os/exec"
	"path/filepath"
	"testing"

	"accountservice/tests/harness"
)

// Debian has no Kafka: this one is franz-go's kfake, whose module is tests/kafka. It ends the connection of a wrong
// password without the error 58 of a real one, which the peers of internal/checks/dependency answer.
func newKafka(t *testing.T, certificate string) *program {
	if certificate == "" {
		return newKafkaWith(t)
	}
	return newKafkaWith(t, "-certificate", certificate, "-key", harness.KeyOf(certificate))
}

func newKafkaSASL(t *testing.T, _ string) *program { return newKafkaWith(t, "-sasl") }

func newKafkaWith(t *testing.T, args ...string) *program {
	return newProgram(t, "go", "", func(_, addr, folder string) func() *exec.Cmd {
		binary := filepath.Join(folder, "kafka")
		buildModule(t, "kafka", ".", binary)
		return func() *exec.Cmd { return exec.Command(binary, append(args, "-port", port(addr))...) }
	})
}

// The broker creates topics for clients that allow it: a topic that is not there must stay so.
func TestTheTopicsOfAKafkaBroker(t *testing.T) {
	needServers(t)
	p := newKafka(t, "")
	p.start()
	passes(t, newRun(t, "kafka://"+p.addr))
	for range 2 {
		wants(t, newRun(t, "kafka://"+p.addr+"?topic=orders"), "")
		wants(t, newRun(t, "kafka://"+p.addr+"?topic=orders,nothing"), "query: there is no topic nothing, or it is hidden from this user")
		wants(t, newRun(t, "kafka://"+p.addr+"?topic=orders,leaderless"), "query: topic leaderless has no leader for partition 1")
	}
	wants(t, newRun(t, "kafka://u:hunter2@"+p.addr), "authentication: ")
}

func TestEachLoginOfAKafkaBroker(t *testing.T) {
	needServers(t)
	p := newKafkaSASL(t, "")
	p.start()
	for _, mechanism := range []string{"scram-sha-256", "scram-sha-512", "plain&plaintext_login=allow"} {
		passes(t, newRun(t, "kafka://u:hunter2@"+p.addr+"?topic=orders&sasl="+mechanism))
		passes(t, newRun(t, "kafka://v:hunter%C2%BD@"+p.addr+"?sasl="+mechanism))
		wants(t, newRun(t, "kafka://u:wrong-hunter2@"+p.addr+"?sasl="+mechanism), "authentication: the server closed the connection")
	}
}

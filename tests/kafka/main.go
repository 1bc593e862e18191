// Command kafka is a Kafka broker for the tests: kfake of franz-go. It has a module of its own, since neither belongs to
// the service. It has the topics orders and, without a leader for its partition 1, leaderless; and it creates topics for
// those who ask for it. With -sasl the user u has the password hunter2, and v one that SASLprep would change.
package main

import (
	"crypto/tls"
	"flag"
	"log"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func main() {
	port := flag.Int("port", 9092, "of 127.0.0.1")
	sasl := flag.Bool("sasl", false, "wants a login")
	certificate := flag.String("certificate", "", "for TLS, in PEM")
	key := flag.String("key", "", "of the certificate, in PEM")
	flag.Parse()
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.Ports(*port), kfake.AllowAutoTopicCreation(),
		kfake.SeedTopics(3, "orders", "leaderless")}
	if *sasl {
		options = append(options, kfake.EnableSASL())
		for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
			options = append(options, kfake.Superuser(mechanism, "u", "hunter2"), kfake.Superuser(mechanism, "v", "hunter\u00bd"))
		}
	}
	if *certificate != "" {
		pair, err := tls.LoadX509KeyPair(*certificate, *key)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
	}
	broker, err := kfake.NewCluster(options...)
	if err != nil {
		log.Fatal(err)
	}
	broker.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "leaderless", Partitions: []int32{1},
		Err: kerr.LeaderNotAvailable, Count: -1})
	select {} // until it is killed
}

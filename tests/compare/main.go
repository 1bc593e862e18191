// Command compare asks one dependency by the check of this service or by the one that health-go brings along, a run for
// each line of its input, and writes a Result for each as a line of JSON. It has a module of its own, since health-go's
// checks and their clients do not belong to the service.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"time"

	"github.com/hellofresh/health-go/v5"
	checkgrpc "github.com/hellofresh/health-go/v5/checks/grpc"
	checkhttp "github.com/hellofresh/health-go/v5/checks/http"
	"github.com/hellofresh/health-go/v5/checks/mongo"
	"github.com/hellofresh/health-go/v5/checks/mysql"
	"github.com/hellofresh/health-go/v5/checks/nats"
	"github.com/hellofresh/health-go/v5/checks/pgx5"
	"github.com/hellofresh/health-go/v5/checks/rabbitmq"
	"github.com/hellofresh/health-go/v5/checks/redis"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"accountservice/internal/checks/dependency"
)

// Result is what came of a run. An empty line of input makes none: it only counts the goroutines again.
type Result struct {
	Error      string        // "" if it passed
	Took       time.Duration // in nanoseconds
	Goroutines int           // of this process when the run had ended
}

func main() {
	kind := flag.String("health-go", "", "the check of health-go to ask by; none for this service's")
	url := flag.String("url", "", "whom to ask, in the form of the check")
	timeout := flag.Duration("timeout", time.Second, "of a run")
	flag.Parse()
	run, err := newRun(*kind, *url, *timeout)
	if err != nil {
		log.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var r Result
		if in.Text() != "" {
			began := time.Now()
			r.Error = run()
			r.Took = time.Since(began)
		}
		r.Goroutines = runtime.NumGoroutine()
		if err := out.Encode(r); err != nil {
			log.Fatal(err)
		}
	}
}

// newRun returns what runs a check once and returns its error.
func newRun(kind, url string, timeout time.Duration) (run func() string, err error) {
	if kind != "" {
		return theirs(kind, url, timeout)
	}
	const failAfter = 2 // the default of checks.fail_after
	asker, err := dependency.New(url, timeout, failAfter)
	if err != nil {
		return nil, err
	}
	return func() string {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := asker.Ask(ctx); err != nil {
			return err.Error()
		}
		return ""
	}, nil
}

// theirs runs a check as health-go's handler does, whose context ends with its request.
func theirs(kind, url string, timeout time.Duration) (func() string, error) {
	check, err := bundled(kind, url)
	if err != nil {
		return nil, err
	}
	h, err := health.New(health.WithChecks(health.Config{Name: kind, Timeout: timeout, Check: check}))
	if err != nil {
		return nil, err
	}
	return func() string {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		return h.Measure(ctx).Failures[kind]
	}, nil
}

func bundled(kind, url string) (health.CheckFunc, error) {
	switch kind {
	case "grpc":
		return checkgrpc.New(checkgrpc.Config{Target: url, DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}}), nil
	case "grpcs":
		return checkgrpc.New(checkgrpc.Config{Target: url, DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{}))}}), nil
	case "http":
		return checkhttp.New(checkhttp.Config{URL: url}), nil
	case "mongo":
		return mongo.New(mongo.Config{DSN: url}), nil
	case "mysql":
		return mysql.New(mysql.Config{DSN: url}), nil
	case "nats":
		return nats.New(nats.Config{DSN: url}), nil
	case "pgx5":
		return pgx5.New(pgx5.Config{DSN: url}), nil
	case "rabbitmq":
		return rabbitmq.New(rabbitmq.Config{DSN: url}), nil
	case "redis":
		return redis.New(redis.Config{DSN: url}), nil
	}
	return nil, fmt.Errorf("health-go has no check %s that is compared", kind)
}

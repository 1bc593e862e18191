// Command healthchecker is the probe for Docker's HEALTHCHECK: it asks a
// service once whether it is healthy and says so by its exit code.
//
//	healthchecker                        the accountservice of this container, by its own socket
//	healthchecker -port=6767             this port on 127.0.0.1, else ::1
//	healthchecker -url URL               any service: http, https or unix:///run/app.sock:/health
//	healthchecker -url URL -component N  the same, and the answer must be health-go's JSON of component N
//
// The exit code is 0 (healthy) or 1 (anything else), never 2, which Docker reserves. A healthy service costs no output;
// otherwise stdout gets one line of at most 1 KiB, which `docker inspect` shows. Everything together has two seconds,
// so the timeout of HEALTHCHECK must be longer.
//
// It is static and needs neither a shell nor accountservice, so other images can copy it:
//
//	COPY --from=accountservice /healthchecker /healthchecker
//	HEALTHCHECK --timeout=3s CMD ["/healthchecker", "-url", "http://127.0.0.1:8080/health"]
//
// It knows net/http and the form of /health, and nothing of the checks behind it. It reads no configuration: what is
// edited after the start of the service must not change the verdict on it.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// limit is the time for everything: names, connection, TLS and
// the whole answer. Docker kills a slower probe and logs no reason.
const limit = 2 * time.Second

func main() {
	signal.Ignore(syscall.SIGPIPE) // a closed stdout must not turn exit 1 into a signal
	os.Exit(run(limit, os.Args[1:], os.Environ(), os.Stdout))
}

// run asks once and returns the exit code: 0 or 1.
func run(limit time.Duration, args, environ []string, stdout io.Writer) int {
	hidden := passwords(args)
	err := within(limit, func(ctx context.Context) error {
		return probe(ctx, args, environ, hidden)
	})
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		write(stdout, usage) // exit 1 all the same: no service was found healthy
	default:
		write(stdout, hidden.line(err.Error()))
	}
	return 1
}

// probe asks once; nil means healthy.
func probe(ctx context.Context, args, environ []string, hidden secrets) error {
	to, err := parse(args, environ)
	if err != nil {
		return err
	}
	got, err := ask(ctx, to)
	if err != nil {
		return err
	}
	return judge(got, to.component, hidden)
}

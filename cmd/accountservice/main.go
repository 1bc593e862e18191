// Command accountservice keeps accounts and tells the truth about its health.
//
// Its exit codes:
//
//	0  stopped while healthy, all requests ended: a stop ends imports and backups early, and cuts off slow clients
//	1  the start or the run failed
//	2  configuration or usage
//	3  told to stop while unhealthy or never ready, or the database failed during the stop
//	4  stopped without waiting for all requests, or a command before it was done
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// main keeps the first thread of the process for itself, and waits on it. Linux gives a signal to that thread first,
// and a SIGTERM would wait there for a disk that does not answer.
func main() {
	runtime.LockOSThread()
	forgetPostgresVariables()
	code := make(chan int)
	go func() { code <- run(untilToldToStop(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr) }()
	os.Exit(<-code)
}

// forgetPostgresVariables removes PGHOST, PGSERVICE and the like, which pgconn would read for every dependency:
// settings come from our own variables alone.
func forgetPostgresVariables() {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			os.Unsetenv(name)
		}
	}
}

// untilToldToStop returns a context that the first signal to stop ends: SIGTERM, SIGINT, or SIGHUP and SIGQUIT, which
// would otherwise kill the process at once. A second SIGTERM changes nothing, because orchestrators can send it twice.
// A second SIGINT comes from a person who does not want to wait: the process exits. SIGPIPE is ignored: a log without a
// reader must not end the service.
func untilToldToStop() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		interrupts := 0
		for s := range signals {
			cancel()
			if s == syscall.SIGINT {
				interrupts++
			}
			if interrupts == 2 {
				time.AfterFunc(answerTime, func() { os.Exit(exitCutShort) }) // nobody may read what is printed
				fmt.Fprintln(os.Stderr, "accountservice: stopped by a second interrupt: requests may have been cut off")
				os.Exit(exitCutShort)
			}
		}
	}()
	return ctx
}

package postgres

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"accountservice/tests/harness"
)

func (b *bench) read() (request string) {
	return fmt.Sprintf("GET /accounts/a%09d HTTP/1.1\r\nHost: localhost\r\n\r\n", 1+rand.IntN(b.accounts))
}

func create() (request string) {
	const body = `{"name":"Created"}`
	return fmt.Sprintf("POST /accounts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// load measures the answers per second that this many clients get. A refused request (503) is repeated, and not counted.
func (b *bench) load(clients int, next func() (request string)) func() float64 {
	return func() float64 {
		var all sync.WaitGroup
		done := make([]int, clients)
		began, used := time.Now(), harness.CPU(b.service.Cmd.Process.Pid)
		for c := range clients {
			all.Go(func() {
				if err := b.client(began.Add(b.length), next, &done[c]); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
		sum := 0
		for _, n := range done {
			sum += n
		}
		used = harness.CPU(b.service.Cmd.Process.Pid) - used
		b.cpu = append(b.cpu, float64(used.Microseconds())/float64(sum))
		return float64(sum) / time.Since(began).Seconds()
	}
}

// client makes requests on one connection.
func (b *bench) client(until time.Time, next func() string, done *int) error {
	c := harness.Asker{Addr: strings.TrimPrefix(b.service.URL, "http://")}
	defer c.Close()
	for time.Now().Before(until) {
		request := next()
		status, _, err := c.Ask(request)
		switch {
		case err == nil && status/100 == 2:
			*done++
		case err != nil || status != http.StatusServiceUnavailable:
			return fmt.Errorf("%.20q: %d, %v", request, status, err)
		}
	}
	return nil
}

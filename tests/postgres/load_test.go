package postgres

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
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

// client makes requests on one connection. Like pgbench, and unlike net/http's client, it does as little as it can: it
// shares the machine with what it measures.
func (b *bench) client(until time.Time, next func() string, done *int) error {
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.service.URL, "http://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for time.Now().Before(until) {
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		request := next()
		if _, err := io.WriteString(conn, request); err != nil {
			return err
		}
		status, err := answer(answers)
		switch {
		case err == nil && status/100 == 2:
			*done++
		case err != nil || status != http.StatusServiceUnavailable:
			return fmt.Errorf("%.20q: %d, %v", request, status, err)
		}
	}
	return nil
}

// answer reads one answer, which must have a Content-Length, and returns its status.
func answer(from *bufio.Reader) (status int, err error) {
	length := -1
	for {
		line, err := from.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		switch {
		case len(name) == 0 && length < 0:
			return 0, errors.New("an answer without a Content-Length")
		case len(name) == 0:
			_, err = io.CopyN(io.Discard, from, int64(length))
			return status, err
		case status == 0:
			status, err = strconv.Atoi(string(value[:min(3, len(value))]))
		case bytes.EqualFold(name, []byte("Content-Length:")):
			length, err = strconv.Atoi(string(value))
		}
		if err != nil {
			return 0, err
		}
	}
}

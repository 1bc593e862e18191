package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// load is one request that arrives again and again at fixed times, whatever became of those before it (open loop).
type load struct {
	Addr, Request string
	Rate          float64       // arrivals a second
	Skip, Span    time.Duration // what arrives within Skip is not counted
	Clients       int           // connections at most: where all wait for an answer, an arrival waits for one of them
}

// tally is what became of a load. Times run from the arrival, also while it waited for a connection.
type tally struct {
	Took    []time.Duration // of the answers 2xx
	Refused []time.Duration // of those 429 and 503 that have a Retry-After
	Bad     map[string]int  // all others
}

func (t *tally) add(other tally) {
	t.Took, t.Refused = append(t.Took, other.Took...), append(t.Refused, other.Refused...)
	for what, n := range other.Bad {
		t.Bad[what] += n
	}
}

// quantile is that of sorted times, or 0 of none.
func quantile(took []time.Duration, q float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	return took[int(float64(len(took)-1)*q)]
}

func (t tally) String() string {
	text := fmt.Sprintf("%d served, p50 %s, p99 %s", len(t.Took), quantile(t.Took, .5), quantile(t.Took, .99))
	if len(t.Refused) > 0 {
		text += fmt.Sprintf("; %d refused, p50 %s, p99 %s", len(t.Refused), quantile(t.Refused, .5), quantile(t.Refused, .99))
	}
	if len(t.Bad) > 0 {
		text += fmt.Sprintf("; others: %v", t.Bad)
	}
	return text
}

// make makes the load.
func (l load) make() tally {
	all := tally{Bad: make(map[string]int)}
	var mu sync.Mutex
	var clients sync.WaitGroup
	begin, next := time.Now().Add(10*time.Millisecond), 0
	arrival := func() (at time.Time, is bool) {
		mu.Lock()
		defer mu.Unlock()
		if l.Rate == 0 {
			return time.Now(), time.Since(begin) < l.Span
		}
		since := time.Duration(float64(next) / l.Rate * float64(time.Second))
		next++
		return begin.Add(since), since < l.Span
	}
	for range l.Clients {
		clients.Go(func() {
			own, c := tally{Bad: make(map[string]int)}, asker{addr: l.Addr, request: []byte(l.Request)}
			for at, is := arrival(); is; at, is = arrival() {
				time.Sleep(time.Until(at))
				status, after, err := c.ask()
				took := time.Since(at)
				switch {
				case at.Sub(begin) < l.Skip:
				case err != nil:
					if op, is := errors.AsType[*net.OpError](err); is {
						err = op.Err // without the addresses
					}
					own.Bad[err.Error()]++
				case status/100 == 2:
					own.Took = append(own.Took, took)
				case (status == 429 || status == 503) && after:
					own.Refused = append(own.Refused, took)
				default:
					own.Bad[strconv.Itoa(status)]++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all.add(own)
		})
	}
	clients.Wait()
	slices.Sort(all.Took)
	slices.Sort(all.Refused)
	return all
}

// asker asks by one connection, which is made anew after an error. It costs less CPU than net/http's.
type asker struct {
	addr    string
	request []byte
	conn    net.Conn
	in      *bufio.Reader
}

func (c *asker) ask() (status int, after bool, err error) {
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.addr, 5*time.Second); err != nil {
			return 0, false, err
		}
		c.in = bufio.NewReader(c.conn)
	}
	c.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err = c.conn.Write(c.request); err == nil {
		status, after, err = c.answer()
	}
	if err != nil {
		c.conn.Close()
		c.conn = nil
	}
	return status, after, err
}

func (c *asker) answer() (status int, after bool, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil || len(line) < 12 {
		return 0, false, cmp.Or(err, errors.New("malformed answer"))
	}
	status, _ = strconv.Atoi(string(line[9:12]))
	length := 0
	chunked := false
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return status, after, err
		}
		switch name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(": ")); {
		case len(name) == 0:
			return status, after, c.skip(length, chunked)
		case bytes.Equal(name, []byte("Content-Length")):
			length, _ = strconv.Atoi(string(value))
		case bytes.Equal(name, []byte("Transfer-Encoding")):
			chunked = true
		case bytes.Equal(name, []byte("Retry-After")):
			after = true
		}
	}
}

// skip reads the body of an answer.
func (c *asker) skip(length int, chunked bool) error {
	for chunked {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return err
		}
		if _, err = c.in.Discard(int(size) + len("\r\n")); err != nil {
			return err
		}
		chunked = size > 0
	}
	_, err := c.in.Discard(length)
	return err
}

// makeLoads is the process that makes loads: it reads them from in, and writes their tallies to out.
func makeLoads(in io.Reader, out io.Writer) error {
	var loads map[string]load
	if err := json.NewDecoder(in).Decode(&loads); err != nil {
		return err
	}
	tallies := make(map[string]tally)
	var mu sync.Mutex
	var all sync.WaitGroup
	for name, l := range maps.All(loads) {
		all.Go(func() {
			t := l.make()
			mu.Lock()
			defer mu.Unlock()
			tallies[name] = t
		})
	}
	all.Wait()
	return json.NewEncoder(out).Encode(tallies)
}

// openLoop makes loads beside each other from a process of its own, on the second CPU.
func openLoop(t *testing.T, loads map[string]load) map[string]tally {
	t.Helper()
	text, err := json.Marshal(loads)
	harness.Must(t, err)
	cmd := exec.Command("taskset", "-c", "1", os.Args[0])
	cmd.Env, cmd.Stderr, cmd.Stdin = append(os.Environ(), "ACCOUNTSERVICE_TEST_LOADS=1"), os.Stderr, bytes.NewReader(text)
	answer, err := cmd.Output()
	harness.Must(t, err)
	var tallies map[string]tally
	harness.Must(t, json.Unmarshal(answer, &tallies))
	return tallies
}

package peers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"accountservice/tests/harness"
)

// load is requests sent over keep-alive connections, each as soon as the answer to the one before has come.
type load struct {
	url         string
	connections int
	request     func(n int) string // the nth of a connection, whole
}

// result is what one round of a load gave.
type result struct {
	rate    float64         // answers a second, refusals not counted
	latency []time.Duration // of these answers, sorted
	refused int             // answers of 429 or 5xx
	cpu     time.Duration   // of the server, for one answer
}

// quantile returns the latency that a share q of the answers did not exceed.
func (r result) quantile(q float64) time.Duration {
	if len(r.latency) == 0 {
		return 0
	}
	return r.latency[min(int(q*float64(len(r.latency))), len(r.latency)-1)]
}

// get is a load of GETs of one path, or of those that path gives for a random number.
func get(connections int, base string, path func(n int) string) load {
	return load{base, connections, func(n int) string { return "GET " + path(n) + " HTTP/1.1\r\nHost: localhost\r\n\r\n" }}
}

// create is a load of POSTs of new accounts.
func create(connections int, base, path string) load {
	const body = `{"name":"Ada Lovelace"}`
	request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, len(body), body)
	return load{base, connections, func(int) string { return request }}
}

// run sends for this long.
func (l load) run(lasts time.Duration) (result, error) {
	target, err := url.Parse(l.url)
	if err != nil {
		return result{}, err
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	var all result
	begin := time.Now()
	for range l.connections {
		group.Go(func() {
			mine, failed := l.connection(target.Host, begin.Add(lasts))
			mu.Lock()
			defer mu.Unlock()
			all.latency = append(all.latency, mine.latency...)
			all.refused += mine.refused
			if failed != nil && err == nil {
				err = failed
			}
		})
	}
	group.Wait()
	all.rate = float64(len(all.latency)) / time.Since(begin).Seconds()
	slices.Sort(all.latency)
	return all, err
}

func defaultGenerator() string {
	if _, err := exec.LookPath("wrk"); err == nil {
		return "wrk"
	}
	return "go"
}

// read measures GETs of a path, or, if accounts is not 0, of the path and the id of any of so many.
func (o options) read(ctx context.Context, url, path string, accounts int, lasts time.Duration) (result, error) {
	if o.generator == "wrk" {
		return wrk(ctx, url+path, accounts, lasts)
	}
	return get(readers, url, func(int) string {
		if accounts == 0 {
			return path
		}
		return path + strconv.Itoa(firstID+rand.IntN(accounts))
	}).run(lasts)
}

// randomScript makes wrk ask for any account of those that its arguments name.
const randomScript = `
function init(args)
  path, first, count = args[1], tonumber(args[2]), tonumber(args[3])
  math.randomseed(os.time())
end
function request() return wrk.format("GET", path .. math.random(first, first + count - 1)) end
`

// wrk measures by wrk, which takes less CPU than the generator here: it knows neither refusals nor each latency.
func wrk(ctx context.Context, address string, accounts int, lasts time.Duration) (r result, err error) {
	target, err := url.Parse(address)
	if err != nil {
		return r, err
	}
	seconds := strconv.Itoa(max(1, int(lasts.Round(time.Second).Seconds())))
	args := []string{"-t1", "-c" + strconv.Itoa(readers), "-d" + seconds + "s"}
	if accounts > 0 {
		script := filepath.Join(os.TempDir(), fmt.Sprintf("peers-%d.lua", os.Getpid()))
		if err := os.WriteFile(script, []byte(randomScript), 0o600); err != nil {
			return r, err
		}
		defer os.Remove(script)
		args = append(args, "-s", script, address, "--", target.Path, strconv.Itoa(firstID), strconv.Itoa(accounts))
	} else {
		args = append(args, address)
	}
	out, err := exec.CommandContext(ctx, "wrk", args...).CombinedOutput()
	found := rateOfWrk.FindSubmatch(out)
	if err != nil || found == nil || bytes.Contains(out, []byte("Non-2xx")) || bytes.Contains(out, []byte("Socket errors")) {
		return r, fmt.Errorf("wrk %s: %w\n%s", address, cmp.Or(err, errors.New("not all is well")), out)
	}
	r.rate, err = strconv.ParseFloat(string(found[1]), 64)
	return r, err
}

var rateOfWrk = regexp.MustCompile(`Requests/sec: *([0-9.]+)`)

func (l load) connection(host string, until time.Time) (r result, err error) {
	c := harness.Asker{Addr: host}
	defer c.Close()
	for n := 0; ; n++ {
		begun := time.Now()
		if begun.After(until) {
			return r, nil
		}
		status, _, err := c.Ask(l.request(n))
		switch {
		case err != nil:
			return r, err
		case status == 429 || status >= 500:
			r.refused++
		case status >= 300:
			return r, fmt.Errorf("%s answers %d", l.url, status)
		default:
			r.latency = append(r.latency, time.Since(begun))
		}
	}
}

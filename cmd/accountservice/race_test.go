package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// conditional sends a request under If-Match, if not "", and returns the status and the ETag of the answer.
func conditional(client *http.Client, method, url, match, body string) (status int, tag string, err error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if match != "" {
		req.Header.Set("If-Match", match)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("ETag"), err
}

// 64 writers, by PUT and by PATCH, race for each version of one account: each version has one who wrote it, and
// nobody's write is under another's.
func TestEachVersionHasOneWinner(t *testing.T) {
	t.Parallel()
	const writers = 64
	versions := int64(often(100, 10_000))
	p := ready(t, newPath(t))
	url := p.URL + "/accounts/10000"
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
	var mu sync.Mutex
	winners := make(map[int64][]string) // the tags that each version was given
	var lost, unknown atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			method := []string{http.MethodPut, http.MethodPatch}[w%2]
			for known := ""; ; {
				status, tag, err := 0, "", error(nil)
				if known == "" {
					status, tag, err = conditional(client, http.MethodGet, url, "", "")
				} else {
					status, tag, err = conditional(client, method, url, known, fmt.Sprintf(`{"name":"writer %d"}`, w))
				}
				var version int64
				switch {
				case err == nil && status == http.StatusPreconditionFailed:
					known = ""
					lost.Add(1)
					continue
				case err == nil && status == http.StatusServiceUnavailable: // of a busy machine: the write may have been made
					known = ""
					unknown.Add(1)
					continue
				case err != nil || status != http.StatusOK:
					t.Errorf("%s = %d, %v", method, status, err)
					return
				}
				if _, err := fmt.Sscanf(tag, `"%d-`, &version); err != nil {
					t.Errorf("tag %s: %v", tag, err)
					return
				}
				if known != "" {
					mu.Lock()
					winners[version] = append(winners[version], tag)
					mu.Unlock()
				}
				if known = tag; version >= versions {
					return
				}
			}
		})
	}
	wg.Wait()
	_, tag, err := conditional(client, http.MethodGet, url, "", "")
	var last int64
	if _, scanErr := fmt.Sscanf(tag, `"%d-`, &last); err != nil || scanErr != nil || last < versions {
		t.Fatalf("the last tag is %s, %v; want version %d or later", tag, err, versions)
	}
	nobody := int64(0)
	for v := int64(2); v <= last; v++ {
		switch n := len(winners[v]); {
		case n == 0:
			nobody++
		case n > 1 || v == last && winners[v][0] != tag:
			t.Errorf("version %d was won as %v; the last is %s", v, winners[v], tag)
		}
	}
	if nobody > unknown.Load() || int64(len(winners)) != last-1-nobody {
		t.Errorf("%d of %d versions were won; %d had an unknown outcome", len(winners), last-1, unknown.Load())
	}
	t.Logf("%d versions, %d requests came too late", last, lost.Load())
}

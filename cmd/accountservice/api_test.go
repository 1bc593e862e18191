package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// create posts an account under a key, and returns the whole answer, "" if there was none.
func create(p *harness.Process, key string) (answer string, replayed bool) {
	req, err := http.NewRequest(http.MethodPost, p.URL+"/accounts", strings.NewReader(`{"name":"`+key+`"}`))
	if err != nil {
		return err.Error(), false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", false
	}
	return fmt.Sprintln(resp.StatusCode, resp.Header["Location"], resp.Header["Etag"], string(body)), resp.Header.Get("Idempotency-Replayed") == "true"
}

// often returns the number of rounds or accounts of a test: the first in make check, the other with STORE_TEST_LONG=1.
func often(check, long int) int {
	if os.Getenv("STORE_TEST_LONG") != "" {
		return long
	}
	return check
}

// A client whose answer was lost with the service repeats its request: what was done stays done once, whether it was
// told so or not.
func TestKilledServiceKnowsWhatItDid(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	answers := make(map[string]string) // by key; "" where none came
	var mu sync.Mutex
	lost := 0
	for round := range often(4, 100) {
		p := ready(t, path, "ACCOUNTSERVICE_STORE_SEED=0")
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for client := range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					key := fmt.Sprint(round, "-", client, "-", i)
					answer, _ := create(p, key)
					mu.Lock()
					answers[key] = answer
					mu.Unlock()
					select {
					case <-stop:
						return
					default:
					}
					if answer == "" {
						return
					}
				}
			})
		}
		enough := 100*round + rand.IntN(60) // the moment of the kill is what varies
		harness.WaitFor(t, 20*time.Second, fmt.Sprint(enough, " requests"), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(answers) >= enough
		})
		p.Kill(t)
		close(stop)
		wg.Wait()
	}
	p := ready(t, path, "ACCOUNTSERVICE_STORE_SEED=0")
	for key, before := range answers {
		after, replayed := create(p, key)
		if !strings.HasPrefix(after, "201 ") || before != "" && (after != before || !replayed) {
			t.Errorf("%s: %s before the kill, %s (replayed: %v) after", key, before, after, replayed)
		}
		if before == "" && replayed {
			lost++
		}
	}
	if _, export := p.Get("/accounts:export"); strings.Count(export, "\n") != len(answers) {
		t.Errorf("%d accounts of %d requests", strings.Count(export, "\n"), len(answers))
	}
	t.Logf("%d requests; of those without an answer %d had been done", len(answers), lost)
}

func TestSettingsOfTheAPIReachIt(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	p := ready(t, path)
	p.Put(t, "10000", "x")
	p.Stop(t, 0)
	p = ready(t, path, "ACCOUNTSERVICE_HTTP_REQUIRE_PRECONDITIONS=true", "ACCOUNTSERVICE_LOG_LEVEL=debug")
	if status, body := harness.Ask("PUT", p.URL+"/accounts/10000", `{"name":"x"}`); status != 428 {
		t.Errorf("PUT where conditions are required = %d %s, want 428", status, body)
	}
	p.Stop(t, 0)
	p.Logs(t, `"route":"/accounts/:id","status":428`)
}

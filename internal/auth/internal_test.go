package auth

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/tests/harness"
)

// opened returns tokens of a new file with this text.
func opened(t *testing.T, text string) *Tokens {
	t.Helper()
	path := harness.File(t, "tokens", text)
	tokens, err := Open(path, slog.New(slog.DiscardHandler))
	harness.Must(t, err)
	return tokens
}

func lineOf(t *testing.T, name, rate string) (token, line string) {
	t.Helper()
	token, line, err := Create(name, "read", rate)
	harness.Must(t, err)
	return token, line + "\n"
}

func TestHalfOfAWriteIsNoChange(t *testing.T) {
	_, first := lineOf(t, "a", "")
	two, second := lineOf(t, "b", "")
	tokens := opened(t, first+second)
	var log harness.Buffer
	tokens.log = slog.New(slog.NewTextHandler(&log, nil))
	whole, half, none := reading{text: first + second}, reading{text: first}, reading{fault: "gone"}
	for _, now := range []reading{half, whole, none, half, whole, none, whole, half} {
		tokens.consider(now)
		if tokens.Find(two) == nil || tokens.Check(t.Context()) != nil {
			t.Fatalf("one reading of %q is taken over: %v", now, tokens.Check(t.Context()))
		}
	}
	tokens.consider(half)
	if tokens.Find(two) != nil {
		t.Error("two readings are no change")
	}
	for range 3 {
		tokens.consider(half)
	}
	if n := strings.Count(log.String(), "the tokens changed"); n != 1 {
		t.Errorf("one change is logged %d times: %s", n, &log)
	}
}

// A certificate or a log in the place of the file has a fault in each line.
func TestWrongFileHasAShortError(t *testing.T) {
	_, line := lineOf(t, "a", "")
	tokens := opened(t, line)
	tokens.adopt(reading{text: strings.Repeat("a\n", maxFile/2)})
	err := tokens.Check(t.Context())
	if err == nil || len(err.Error()) > 2000 || !strings.Contains(err.Error(), "line 10: ") {
		t.Errorf("%d bytes, want the faults of 10 lines", len(fmt.Sprint(err)))
	}
}

func TestRateOutlivesAChangeOfTheFile(t *testing.T) {
	token, line := lineOf(t, "a", "1/s")
	_, other := lineOf(t, "b", "")
	_, faster := lineOf(t, "a", "2/s")
	tokens := opened(t, line)
	before := tokens.Find(token).limit
	tokens.adopt(reading{text: line + other})
	if tokens.Find(token).limit != before {
		t.Error("the change gave the caller another burst")
	}
	tokens.adopt(reading{text: faster})
	if now := (*tokens.entries.Load())[0].caller.limit; now == nil || now == before {
		t.Error("the new rate is not in force")
	}
}

func TestFileThatIsNotReadFailsTheCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, line := lineOf(t, "a", "")
		tokens := opened(t, line)
		time.Sleep(unreadAfter)
		if err := tokens.Check(t.Context()); err != nil {
			t.Errorf("after %s: %v", unreadAfter, err)
		}
		time.Sleep(time.Second)
		if tokens.Check(t.Context()) == nil {
			t.Error("the check passes on a file that nobody reads")
		}
	})
}

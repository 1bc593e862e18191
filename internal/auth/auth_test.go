package auth

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/tests/harness"
)

// create returns a new token and its line.
func create(t *testing.T, name, scopes, rate string) (token, line string) {
	t.Helper()
	token, line, err := Create(name, scopes, rate)
	harness.Must(t, err)
	return token, line + "\n"
}

func open(t *testing.T, text string) *Tokens {
	t.Helper()
	tokens, err := Open(harness.File(t, "tokens", text), slog.New(slog.DiscardHandler))
	harness.Must(t, err)
	return tokens
}

func TestTokenLeadsToItsCaller(t *testing.T) {
	one, first := create(t, "billing", "write,read", "")
	two, second := create(t, "Shop.2", "health", "7/s")
	tokens := open(t, "\ufeff# callers\n\n"+first+"\r\n  "+second)
	if c := tokens.Find(one); c == nil || c.Name != "billing" || !c.Has(Read) || !c.Has(Write) || c.Has(Admin, Health) {
		t.Errorf("got %+v", c)
	}
	if c := tokens.Find(two); c == nil || c.Name != "Shop.2" || c.Has(Read, Write, Admin) || !c.Has(Admin, Health) {
		t.Errorf("got %+v", c)
	}
	_, hash, _ := strings.Cut(strings.TrimSpace(first), "read:")
	for _, unknown := range []string{"", "x", one[1:], one + "x", strings.ToUpper(one), hash, strings.Repeat("x", 300)} {
		if c := tokens.Find(unknown); c != nil {
			t.Errorf("%q is %+v", unknown, c)
		}
	}
}

func TestBadFileIsRefusedWithItsLines(t *testing.T) {
	const secret = "acct_hunter2hunter2"
	token, line := create(t, "a", "read", "")
	_, other := create(t, "a", "read,write", "")
	hash := strings.Repeat("0a", 32)
	for text, want := range map[string]string{
		"":                              "has no token",
		"# only this\n\n":               "has no token",
		"a:read":                        "line 1: must be name:scopes:sha256hex",
		secret:                          "line 1: must be name:scopes:sha256hex",
		"a:" + secret + ":read":         "line 1: the scopes must be",
		"a:read:" + secret:              "line 1: the third field must be the SHA-256",
		"a:read:" + hash[2:]:            "line 1: the third field",
		":read:" + hash:                 "line 1: the name must have",
		"a b:read:" + hash:              "line 1: the name must have",
		"a:raed:" + hash:                "line 1: the scopes must be some of read, write, admin and health",
		"a:read,read:" + hash:           "line 1: the scopes",
		"a::" + hash:                    "line 1: the scopes",
		"a:read:" + hash + ":rate=0/s":  "line 1: the rate must be 1 to 1000000 requests a second, such as 100/s",
		"a:read:" + hash + ":rate=5":    "line 1: the rate must be",
		"a:read:" + hash + ":5/s":       "line 1: the rate must be",
		"a:read:" + hash + ":rate=1/s:": "line 1: must be",
		line + "\n" + other:             "line 3: a has other scopes or another rate in line 1",
		line + "b" + line[1:]:           "line 2: has the token of line 1",
		"x\n" + line + "y\n":            "line 3: must be",
		"\xff\xfea\x00:\x00":            "is UTF-16",
		"\xfe\xff\x00a\x00:":            "is UTF-16",
		"\ufeff":                        "has no token",
	} {
		path := harness.File(t, "tokens", text)
		_, err := Open(path, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want %s and %q", text, err, path, want)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v repeats a secret", text, err)
		}
	}
}

func TestFileThatOthersMayWriteIsRefused(t *testing.T) {
	_, line := create(t, "a", "read", "")
	path := harness.File(t, "tokens", line)
	for mode, bad := range map[os.FileMode]bool{0o400: false, 0o644: false, 0o444: false, 0o664: true, 0o602: true} {
		harness.Must(t, os.Chmod(path, mode))
		if _, err := Open(path, slog.New(slog.DiscardHandler)); (err != nil) != bad || bad && !strings.Contains(err.Error(), "others can write it") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	harness.Must(t, os.Remove(path))
	harness.Must(t, syscall.Mkfifo(path, 0o600))
	for range 2 {
		if _, err := Open(path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want the name of what is no file", err)
		}
		os.RemoveAll(path)
	}
}

// follow runs tokens until the test ends.
func follow(t *testing.T, tokens *Tokens) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); tokens.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
}

func TestChangedFileIsReadAgainAndABadOneChangesNothing(t *testing.T) {
	one, first := create(t, "a", "read", "")
	two, second := create(t, "a", "read", "")
	path := harness.File(t, "tokens", first)
	var log harness.Buffer
	tokens, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)))
	harness.Must(t, err)
	follow(t, tokens)
	known := func(token string) bool { return tokens.Find(token) != nil }
	becomes := func(what string, so func() bool) {
		t.Helper()
		if !harness.Until(20*time.Second, so) {
			t.Fatalf("%s: not in 20 s; check: %v", what, tokens.Check(t.Context()))
		}
	}
	replace := func(text string) {
		t.Helper()
		harness.Must(t, os.WriteFile(path+".new", []byte(text), 0o600))
		harness.Must(t, os.Rename(path+".new", path))
	}
	fails := func(words string) func() bool {
		return func() bool {
			err := tokens.Check(t.Context())
			return err != nil && strings.Contains(err.Error(), words) && strings.Contains(err.Error(), "stay in force")
		}
	}
	passes := func() bool { return tokens.Check(t.Context()) == nil }
	replace(first + second)
	becomes("both", func() bool { return known(one) && known(two) })
	replace(second)
	becomes("the second alone", func() bool { return !known(one) && known(two) })
	harness.Must(t, os.WriteFile(path, []byte(first+"nonsense"), 0o600))
	becomes("nonsense", fails("line 2: must be"))
	harness.Must(t, os.Remove(path))
	becomes("no file", fails("no such file"))
	if known(one) || !known(two) {
		t.Errorf("a bad file changed the tokens")
	}
	replace(second)
	becomes("mended", passes)
	harness.Must(t, os.Chmod(path, 0o666))
	becomes("for all to write", fails("others can write it"))
	replace(first)
	becomes("the first again", func() bool { return known(one) && !known(two) && passes() })
	if n := strings.Count(log.String(), "the tokens changed"); n != 3 && n != 4 { // mended may be seen as a change
		t.Errorf("%d changes are logged:\n%s", n, &log)
	}
	if strings.Contains(log.String(), one) || strings.Contains(log.String(), two) {
		t.Errorf("the log has a token")
	}
}

func TestRateLetsABurstOfASecondPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token, line := create(t, "a", "read", "10/s")
		second, again := create(t, "a", "read", "10/s")
		tokens := open(t, line+again)
		passed := func(n int) (count int) {
			for i := range n {
				if tokens.Find([]string{token, second}[i%2]).Allow() { // one caller has one rate
					count++
				}
			}
			return count
		}
		if n := passed(30); n != 10 {
			t.Errorf("%d of a burst pass, want 10", n)
		}
		time.Sleep(500 * time.Millisecond)
		if n := passed(30); n != 5 {
			t.Errorf("%d after half a second, want 5", n)
		}
		time.Sleep(time.Hour)
		if n := passed(30); n != 10 {
			t.Errorf("%d after an hour, want 10", n)
		}
	})
}

func TestFindAllocatesNothing(t *testing.T) {
	token, line := create(t, "a", "read", "1000000/s")
	tokens := open(t, line)
	if n := testing.AllocsPerRun(1000, func() { tokens.Find(token).Allow() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFind(b *testing.B) {
	var text string
	var token, line string
	for i := range 100 {
		token, line, _ = Create("caller-"+strings.Repeat("x", i%10)+string(rune('a'+i%26))+string(rune('a'+i/26)), "read", "")
		text += line + "\n"
	}
	path := harness.File(b, "tokens", text)
	tokens, err := Open(path, slog.New(slog.DiscardHandler))
	harness.Must(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if tokens.Find(token) == nil {
			b.Fatal("unknown")
		}
	}
}

func TestHalfOfAWriteIsNoChange(t *testing.T) {
	_, first := create(t, "a", "read", "")
	two, second := create(t, "b", "read", "")
	tokens := open(t, first+second)
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
	_, line := create(t, "a", "read", "")
	tokens := open(t, line)
	tokens.adopt(reading{text: strings.Repeat("a\n", maxFile/2)})
	err := tokens.Check(t.Context())
	if err == nil || len(err.Error()) > 2000 || !strings.Contains(err.Error(), "line 10: ") {
		t.Errorf("%d bytes, want the faults of 10 lines", len(fmt.Sprint(err)))
	}
}

func TestRateOutlivesAChangeOfTheFile(t *testing.T) {
	token, line := create(t, "a", "read", "1/s")
	_, other := create(t, "b", "read", "")
	_, faster := create(t, "a", "read", "2/s")
	tokens := open(t, line)
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
		_, line := create(t, "a", "read", "")
		tokens := open(t, line)
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

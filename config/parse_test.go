package config

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestBytesAreReadAndWrittenExactly(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "1": 1, "1023": 1023, "1KiB": 1 << 10, "64MiB": 64 << 20, "1536MiB": 1536 << 20, "2GiB": 2 << 30, "3TiB": 3 << 40, "1PiB": 1 << 50,
		"1025KiB": 1025 << 10, "9223372036854775807": math.MaxInt64, "-1KiB": -1 << 10,
	} {
		got, err := parseBytes(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %d, written %s, %v", text, got, got, err)
		}
	}
	for _, text := range []string{"", "MiB", "1MB", "1mib", "1 MiB", "1.5GiB", "01KiB", "0x1KiB", "1_0", "1e3", "+1", "8192PiB", "9223372036854775808", "1KiBKiB"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestFormattedValuesAreReadAgain(t *testing.T) {
	for text, value := range map[string]any{
		"1m": time.Minute, "1h": time.Hour, "1h0m1s": time.Hour + time.Second, "1h1m": 61 * time.Minute, "0s": time.Duration(0),
		"1.5s": 1500 * time.Millisecond, "-10m": -10 * time.Minute, "64MiB": Bytes(64 << 20), "true": true, "-7": -7,
	} {
		if got := format(value); got != text {
			t.Errorf("got %s, want %s", got, text)
		}
		if got, err := parse(text, value); err != nil || format(got) != text {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}

func TestURLKeepsItsTextAndHidesItsSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"http://users:8080/health":             "http://users:8080/health",
		"http://[::1]:80/?q=a%20b&x":           "http://[::1]:80/?q=a%20b&x",
		"http://u:p%40w@a/":                    "http://u:xxxxx@a/",
		"http://u:@a/":                         "http://u:xxxxx@a/",
		"http://t0ken@a/":                      "http://xxxxx@a/",
		"http://a/?API_KEY=x&b=c&%74oken=y":    "http://a/?API_KEY=xxxxx&b=c&%74oken=xxxxx",
		"http://a/?X-Amz-Signature=x&password": "http://a/?X-Amz-Signature=xxxxx&password",
		"http://a/?%zz=x":                      "http://a/?%zz=xxxxx",
		"postgres://u:p@a:5432,b/db":           "postgres://u:xxxxx@a:5432,b/db",
		"postgresql://u@[::1]:1,b,[::2]/?a=b":  "postgresql://xxxxx@[::1]:1,b,[::2]/?a=b",
	} {
		u, err := parseURL(text)
		if err != nil || u.Reveal() != text || u.String() != want {
			t.Errorf("%s: got %q, shown as %s, %v, want %s", text, u.Reveal(), u, err, want)
		}
		if again, _ := parseURL(text); again != u {
			t.Errorf("%s: two of the same are not equal", text)
		}
	}
	if u := (URL{}); u.Reveal() != "" || u.String() != "" {
		t.Errorf("got %q and %q of no URL", u.Reveal(), u)
	}
}

// FuzzURL puts any password and path into a URL: what is accepted must not show
// the password, and must read again as it shows.
func FuzzURL(f *testing.F) {
	for _, password := range []string{"hunter2", "12/hunter2", "12?hunter2", "12#hunter2", "%", "a@b", "1:2", "[", "p;w", "p%20w"} {
		f.Add(password, "health")
	}
	f.Fuzz(func(t *testing.T, password, path string) {
		u, err := parseURL("http://u:" + password + "@a/" + path)
		if err != nil {
			return
		}
		shown := u.String()
		if !strings.HasPrefix(shown, "http://u:"+masked+"@a/") {
			t.Errorf("got %q shown as %s", u.Reveal(), shown)
		}
		if again, err := parseURL(shown); err != nil || again.String() != shown {
			t.Errorf("got %s again of %s, %v", again, shown, err)
		}
	})
}

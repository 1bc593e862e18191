package transfer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
	"accountservice/tests/harness"
)

// parse reads one line.
func parse(t *testing.T, line []byte) (store.Account, *transfer.Fault) {
	t.Helper()
	batch, err := transfer.NewReader(bytes.NewReader(line), 1).Next()
	switch {
	case err != nil || len(batch.Accounts)+len(batch.Faults) != 1:
		t.Fatalf("%q: %+v, %v", line, batch, err)
	case len(batch.Faults) == 1:
		return store.Account{}, &batch.Faults[0]
	}
	return batch.Accounts[0], nil
}

// whole is an account with every field.
func whole() store.Account {
	made := time.Date(2026, 11, 22, 14, 39, 46, 707173000, time.UTC)
	draft := store.Draft{Name: "Ada <ü> \"x\"", Email: "ada@example.org", Labels: map[string]string{"team": "a", "b": "2"}}
	return store.Account{ID: "ada", Draft: draft, Version: 3, CreatedAt: made, UpdatedAt: made.Add(time.Hour)}
}

func TestLineHoldsAWholeAccount(t *testing.T) {
	line, err := transfer.Encode([]store.Account{whole()})
	want := `{"id":"ada","name":"Ada <ü> \"x\"","email":"ada@example.org","labels":{"b":"2","team":"a"},"version":3,` +
		`"created_at":"2026-11-22T14:39:46.707173Z","updated_at":"2026-11-22T15:39:46.707173Z"}` + "\n"
	if err != nil || string(line) != want {
		t.Errorf("%v, %s, want %s", err, line, want)
	}
	if acc, fault := parse(t, line); fault != nil || !acc.Equal(whole()) {
		t.Errorf("%+v, %v", acc, fault)
	}
}

func TestLineNeedsIDAndNameAlone(t *testing.T) {
	want := store.Account{ID: "ada", Draft: store.Draft{Name: "Ada"}}
	line, err := transfer.Encode([]store.Account{want})
	if short := `{"id":"ada","name":"Ada"}` + "\n"; err != nil || string(line) != short {
		t.Errorf("%v, %s, want %s", err, line, short)
	}
	for _, line := range []string{string(line), " {\"name\":\"Ada\",\t\"id\":\"ada\"}\r\n",
		`{"id":"ada","name":"Ada","email":null,"labels":null,"version":null,"created_at":null,"updated_at":null}`} {
		if acc, fault := parse(t, []byte(line)); fault != nil || !acc.Equal(want) {
			t.Errorf("%s: %+v, %v", line, acc, fault)
		}
	}
	short := want
	short.CreatedAt, short.UpdatedAt = time.Unix(0, 0), time.Unix(1, 500_000_000).In(time.FixedZone("", 3600))
	line, err = transfer.Encode([]store.Account{short})
	if !strings.Contains(string(line), `"created_at":"1970-01-01T00:00:00.000000Z","updated_at":"1970-01-01T00:00:01.500000Z"`) || err != nil {
		t.Errorf("%s, %v: want six digits of each second, in UTC", line, err)
	}
	acc, fault := parse(t, []byte(`{"id":"ada","name":"Ada","created_at":"2026-01-01T01:00:00.1234567+01:00"}`))
	kept, _ := store.NextImported(nil, acc, time.Now())
	if want := time.Date(2026, 1, 1, 0, 0, 0, 123456000, time.UTC); fault != nil || kept.CreatedAt != want {
		t.Errorf("%+v, %v, want %s", kept, fault, want)
	}
}

func TestLineOfAVersionFromBeforeTheLimitCanBeRead(t *testing.T) {
	line, err := transfer.Encode([]store.Account{store.Account{ID: "ada", Draft: store.Draft{Name: "Ada"}, Version: store.MaxVersion + 7}})
	harness.Must(t, err)
	if acc, fault := parse(t, line); fault != nil || acc.Version != store.MaxVersion {
		t.Errorf("%s: %+v, %v", line, acc, fault)
	}
}

func TestBadLineIsToldByItsPlaceAndNeverItsValue(t *testing.T) {
	const secret = "hunter2"
	for line, want := range map[string]string{
		`{"id":"a"}`:                                                         "#/name: must have 1 to 256 characters",
		`{"name":"x"}`:                                                       "#/id: must have 1 to 64 characters",
		`{"id":"a b","name":"hunter2"}`:                                      "#/id: may have only",
		`{"id":5,"name":"hunter2"}`:                                          "#/id: must be a string",
		`{"id":"a","name":["hunter2"]}`:                                      "#/name: must be a string",
		`{"id":"a","name":"hunter2\n"}`:                                      "#/name: must not have control characters",
		"{\"id\":\"a\",\"name\":\"\xff\"}":                                   "#: is not valid UTF-8",
		`{"id":"a","name":"\ud800"}`:                                         "#/name: is not valid JSON",
		`{"id":"a","name":"x","id":"b"}`:                                     "#/id: stands twice",
		`{"id":"a","name":"x","n\u0061me":"hunter2"}`:                        "#/name: stands twice",
		`{"id":"a","name":"x","Name":"hunter2"}`:                             "#/Name: is not a known member",
		`{"id":"a","name":"x","e\u0007il":"hunter2"}`:                        "#/e%07il: is not a known member",
		`{"id":"a","name":"x","` + strings.Repeat("x", 500) + `":"hunter2"}`: "#: is not a known member",
		`{"id":"a","name":"x","email":"hunter2"}`:                            "#/email: must be an address",
		`{"id":"a","name":"x","labels":{"k":1}}`:                             "#/labels/k: must be a string",
		`{"id":"a","name":"x","labels":{"k":"1","k":"hunter2"}}`:             "#/labels/k: stands twice",
		`{"id":"a","name":"x","labels":{"k":"\u0001"}}`:                      "#/labels/k: must not have control",
		`{"id":"a","name":"x","labels":{"k":null}}`:                          "#/labels/k: must be a string",
		`{"id":"a","name":"x","labels":["hunter2"]}`:                         "#/labels: must be an object of strings",
		`{"id":"a","name":"x","version":0}`:                                  "#/version: must be a whole number from 1 to 9007199254740991",
		`{"id":"a","name":"x","version":-1}`:                                 "#/version: must be a whole number",
		`{"id":"a","name":"x","version":1.5}`:                                "#/version: must be a whole number",
		`{"id":"a","name":"x","version":"1"}`:                                "#/version: must be a whole number",
		`{"id":"a","name":"x","version":9007199254740992}`:                   "#/version: must be",
		`{"id":"a","name":"x","created_at":"hunter2"}`:                       "#/created_at: must be a time as in RFC 3339",
		`{"id":"a","name":"x","updated_at":1}`:                               "#/updated_at: must be a time as in RFC 3339",
		`{"id":"a","name":"x","created_at":"2026-01-02T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}`: "#/updated_at: must not be before created_at",
		`{"id":"a","name":"x"} hunter2`:          "#: is not valid JSON at byte 22",
		`{"id":"a","name":"x"}{}`:                "#: is not valid JSON",
		`{"id":"a","name":"x"`:                   "#: is not valid JSON",
		`["hunter2"]`:                            "#: must be an object",
		`hunter2`:                                "#: is not valid JSON at byte 0",
		"\ufeff\ufeff" + `{"id":"a","name":"x"}`: "#: is not valid JSON at byte 0",
		"\xff\xfe{\x00":                          "#: is UTF-16; it must be UTF-8",
	} {
		_, fault := parse(t, []byte(line))
		if fault == nil || !strings.HasPrefix(fault.Pointer+": "+fault.Detail, want) {
			t.Errorf("%s: %v, want %s", line, fault, want)
		} else if strings.Contains(fault.Error(), secret) {
			t.Errorf("%s: the value is repeated: %v", line, fault)
		}
	}
}

// FuzzLine gives the parser any line. It must not panic; what it refuses it
// must place, and what it takes must be valid and come back as it was written.
func FuzzLine(f *testing.F) {
	line, err := transfer.Encode([]store.Account{whole()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add([]byte(`{"id":"a","name":"x","labels":{"k":null},"version":null}`))
	f.Add([]byte(`{"id":"a","name":"\ud83d\ude00","created_at":"0001-01-01T00:00:00+23:59"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var acc, again store.Account
		if fault := transfer.Decode(line, &acc); fault != nil {
			if !strings.HasPrefix(fault.Pointer, "#") || len(fault.Pointer) > 200 || fault.Detail == "" || strings.ContainsAny(fault.Error(), "\n\r\x1b\x00") {
				t.Errorf("%q: %v", line, fault)
			}
			return
		}
		if acc.Validate() != nil {
			return
		}
		written, err := transfer.Encode([]store.Account{acc})
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if fault := transfer.Decode(written, &again); fault != nil || !again.Equal(acc) {
			t.Errorf("%q was written as %q: %v", line, written, fault)
		}
	})
}

// As the vectors of RFC 7396, appendix A, for what an account can have.
func TestMergeChangesWhatThePatchNames(t *testing.T) {
	removing := func(labels int) string {
		patch := `{"labels":{`
		for i := range labels {
			patch += fmt.Sprintf(`"l%d":null,`, i)
		}
		return strings.TrimSuffix(patch, ",") + "}}"
	}
	for patch, want := range map[string]string{
		`{}`:                                     `{"id":"a","name":"n","email":"a@b.c","labels":{"a":"b"}}`,
		removing(2 * store.MaxLabels):            `{"id":"a","name":"n","email":"a@b.c","labels":{"a":"b"}}`,
		removing(2*store.MaxLabels + 1):          "#/labels: must be at most 128",
		`{"name":"c"}`:                           `{"id":"a","name":"c","email":"a@b.c","labels":{"a":"b"}}`,
		`{"email":null}`:                         `{"id":"a","name":"n","labels":{"a":"b"}}`,
		`{"labels":{"a":"c"}}`:                   `{"id":"a","name":"n","email":"a@b.c","labels":{"a":"c"}}`,
		`{"labels":{"b":"c"}}`:                   `{"id":"a","name":"n","email":"a@b.c","labels":{"a":"b","b":"c"}}`,
		`{"labels":{"a":null}}`:                  `{"id":"a","name":"n","email":"a@b.c"}`,
		`{"labels":{"a":null,"b":"c","d":null}}`: `{"id":"a","name":"n","email":"a@b.c","labels":{"b":"c"}}`,
		`{"labels":null,"email":"x@y.z"}`:        `{"id":"a","name":"n","email":"x@y.z"}`,
		`{"labels":{"a":["c"]}}`:                 "#/labels/a: must be a string",
		`{"labels":{"a":{"b":null}}}`:            "#/labels/a: must be a string",
		`{"labels":["c"]}`:                       "#/labels: must be an object of strings",
		`{"labels":{"a b":null}}`:                "#/labels: keys must have",
		`{"other":null}`:                         "#/other: is not a known member",
		`null`:                                   "#: must be an object",
		`"bar"`:                                  "#: must be an object",
		`{"name":{"a":"b"}}`:                     "#/name: must be a string",
	} {
		acc := store.Account{ID: "a", Draft: store.Draft{Name: "n", Email: "a@b.c", Labels: map[string]string{"a": "b"}}}
		got := ""
		if fault := transfer.Merge([]byte(patch), &acc); fault != nil {
			got = fault.Pointer + ": " + fault.Detail
		} else if line, err := transfer.Encode([]store.Account{acc}); err == nil {
			got = string(line)
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s gives %s, want %s", patch, got, want)
		}
	}
}

// Many bodies can be read at once: none may cost a multiple of its bytes.
func TestTextCostsLittleMoreMemoryThanItHas(t *testing.T) {
	const size = 1 << 20
	long := func(begin, unit, end string) string { return begin + strings.Repeat(unit, size/len(unit)) + end }
	var members strings.Builder
	for i := 0; members.Len() < size; i++ {
		members.WriteString(`,"` + strings.Repeat("k", i%60+1) + string(rune('0'+i%10)) + `":""`)
	}
	for name, text := range map[string]string{
		"labels": `{"name":"x","labels":{"":""` + members.String() + `}}`, "unknown": `{"":""` + members.String() + `}`,
		"ids": long(`{"ids":[`, `"",`, `""]}`), "name": long(`{"name":"`, `\u00e9`, `"}`), "key": long(`{"labels":{"`, "x", `":""}}`),
		"depth": long("", "[", ""), "objects": long("", `{"labels":`, ""), "spaces": long("{", " ", "}"),
	} {
		for kind, decode := range map[string]func() *transfer.Fault{
			"draft": func() *transfer.Fault { return transfer.Decode([]byte(text), new(store.Draft)) },
			"patch": func() *transfer.Fault { return transfer.Merge([]byte(text), new(store.Account)) },
			"ids": func() *transfer.Fault {
				return transfer.Decode([]byte(text), new(struct {
					IDs []store.ID `json:"ids"`
				}))
			},
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			decode()
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 4*size {
				t.Errorf("%s as %s: %d bytes for %d", name, kind, used, len(text))
			}
		}
	}
}

// Databases have records that encoding/json read and wrote.
func TestUnmarshalReadsWhatEncodingJSONReads(t *testing.T) {
	for _, text := range []string{
		`{"name":"a","labels":{"a":"b"},"version":3,"created_at":"2026-11-29T22:03:48.876743Z"}`,
		`{"id":"x","Name":"y","NAME":"z","labels":{"a":"b","a":"c"}}`, "{\"name\":\"\xff\",\"email\":\"\\ud800\"}",
		`{"name":null,"version":null,"labels":null,"created_at":null}`, `null`, ` {"name":"a"} `, `{"labels":{"a":null}}`,
		`{"created_at":"2026-11-29T22:03:48,5+01:00"}`, `{"created_at":"2026-11-29t22:03:48z"}`, `{"unknown":[{}]}`,
		`{"version":1.0}`, `{"version":1e2}`, `{"version":"1"}`, `{"version":9223372036854775808}`, `{"id":5}`, `{"name":"a"} x`, ``,
	} {
		want, got := store.Account{Version: 1}, store.Account{Version: 1}
		before, now := json.Unmarshal([]byte(text), &want), transfer.Unmarshal([]byte(text), &got)
		if (before == nil) != (now == nil) || before == nil && !got.Equal(want) {
			t.Errorf("%q is %+v, %v; encoding/json says %+v, %v", text, got, now, want, before)
		}
	}
}

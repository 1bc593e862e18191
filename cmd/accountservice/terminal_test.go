package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"accountservice/tests/harness"
)

func TestTerminalGetsNothingThatItCouldObey(t *testing.T) {
	for line, want := range map[string]string{
		`{"name":"Zoë 日本"}` + "\n":                 `{"name":"Zoë 日本"}` + "\n",
		"{\"name\":\"\u009b2J\u202ex\U000e0041\"}": `{"name":"\u009b2J\u202ex\udb40\udc41"}`,
		"{\"name\":\"\x7f\ufeff\u2028\"}":          `{"name":"\u007f\ufeff\u2028"}`,
		"\x1b[2J":                                  `\u001b[2J`,
		"\"\xff\x9b\"":                             `"\ufffd\ufffd"`,
	} {
		for _, piece := range []int{1, 2, len(line)} {
			var got bytes.Buffer
			out := &escaped{w: &got}
			for rest := []byte(line); len(rest) > 0; rest = rest[min(piece, len(rest)):] {
				_, err := out.Write(rest[:min(piece, len(rest))])
				harness.Must(t, err)
			}
			if got.String() != want {
				t.Errorf("%q in pieces of %d: %q, want %q", line, piece, got.String(), want)
			}
			var before, after any
			if json.Unmarshal([]byte(line), &before) == nil && (json.Unmarshal(got.Bytes(), &after) != nil ||
				!reflect.DeepEqual(before, after)) {
				t.Errorf("%q means another thing than %q", got.String(), line)
			}
		}
	}
}

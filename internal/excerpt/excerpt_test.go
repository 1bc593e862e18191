package excerpt_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"accountservice/internal/excerpt"
)

func TestLongTextsAreCutBetweenCharacters(t *testing.T) {
	for _, c := range []struct{ text, start, ends string }{
		{"", "", ""},
		{"123456789", "123456789", "123456789"},
		{"1234567890", "123456789…", "123…890"},
		{"ü2345678ü", "ü2345678…", "ü2…8ü"},
		{"12üü3üü45", "12üü3ü…", "12…45"},
		{"世世世世", "世世世…", "世…世"},
	} {
		if got := excerpt.Start(c.text, 9); got != c.start {
			t.Errorf("the start of %q is %q, want %q", c.text, got, c.start)
		}
		if got := excerpt.Ends(c.text, 9); got != c.ends {
			t.Errorf("the ends of %q are %q, want %q", c.text, got, c.ends)
		}
	}
	for most := range 40 {
		text := strings.Repeat("aü世🩺", 5)
		start, ends := excerpt.Start(text, most), excerpt.Ends(text, most)
		if !utf8.ValidString(start+ends) || len(start) > most+len("…") || len(ends) > max(most, len("…")) {
			t.Errorf("in %d bytes: %q, %q", most, start, ends)
		}
	}
}

package main

import (
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// forTerminal returns a writer of lines of JSON to w. A terminal could obey some characters, and show others in another
// order; there they become JSON's escapes for them, so that a line means the same.
func forTerminal(w io.Writer) io.Writer {
	if isTerminal(w) {
		return &escaped{w: w}
	}
	return w
}

type escaped struct {
	w    io.Writer
	rest []byte // the begin of a character
}

func (e *escaped) Write(p []byte) (int, error) {
	text := append(e.rest, p...)
	out := make([]byte, 0, len(text))
	for len(text) > 0 && utf8.FullRune(text) {
		r, size := utf8.DecodeRune(text)
		if r == '\n' || r != utf8.RuneError && (unicode.IsPrint(r) || unicode.Is(unicode.Zs, r)) {
			out = append(out, text[:size]...)
		} else {
			for _, unit := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
		text = text[size:]
	}
	e.rest = append([]byte(nil), text...)
	if _, err := e.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

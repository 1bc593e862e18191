// Package httpcheck has the rules that the probe and the dependencies of kind http share: which status and which body
// an answer must have, and the file of a secret header. It opens no connection and does not link net/http.
package httpcheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Body returns a test of a body, which returns nil or an error that says what is missing and repeats nothing of the
// body. want is a text that the body must have ("" for any body), or, if it begins with /, a JSON Pointer (RFC 6901), =
// and the value there. option is the name of the operator's option, for the error.
func Body(option, want string) func(body []byte) error {
	pointer, value, is := strings.Cut(want, "=")
	if !is || !strings.HasPrefix(pointer, "/") {
		return func(body []byte) error {
			if !bytes.Contains(body, []byte(want)) {
				return fmt.Errorf("its answer does not have the text of %s", option)
			}
			return nil
		}
	}
	return func(body []byte) error {
		var document any
		numbers := json.NewDecoder(bytes.NewReader(body))
		numbers.UseNumber() // as they are written
		if err := numbers.Decode(&document); err != nil {
			return fmt.Errorf("its answer is no JSON, where %s has a JSON Pointer", option)
		}
		found, is := valueAt(document, pointer)
		switch {
		case !is:
			return fmt.Errorf("its answer has nothing at the JSON Pointer of %s", option)
		case jsonText(found) != value:
			return fmt.Errorf("its answer has another value at the JSON Pointer of %s", option)
		}
		return nil
	}
}

// valueAt follows a JSON Pointer.
func valueAt(document any, pointer string) (any, bool) {
	for part := range strings.SplitSeq(pointer[1:], "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch at := document.(type) {
		case map[string]any:
			next, is := at[part]
			if !is {
				return nil, false
			}
			document = next
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(at) {
				return nil, false
			}
			document = at[i]
		default:
			return nil, false
		}
	}
	return document, true
}

// jsonText returns a value as it is written in an option: a string without quotes, null as null.
func jsonText(value any) string {
	if value == nil {
		return "null"
	}
	return fmt.Sprint(value)
}

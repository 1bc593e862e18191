package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"accountservice/internal/store"
)

// MaxIDs bounds the ids that one JSON text may list.
const MaxIDs = 1000

// Fault is what is wrong with one line, or with one JSON text. It never holds the value that was refused.
type Fault struct {
	Line      int    // from 1
	Pointer   string // which member, as a JSON Pointer in a fragment (RFC 6901, 6); "#" is the line
	Detail    string
	Malformed bool // it is no JSON at all, not a wrong value
}

func (f *Fault) Error() string { return fmt.Sprintf("line %d: %s: %s", f.Line, f.Pointer, f.Detail) }

// Decode reads one JSON text (RFC 8259) into a struct. It refuses invalid UTF-8, names that stand twice or are unknown,
// and data behind the text. A member that is null is as good as absent. A byte-order mark before the text is skipped.
// What it needs of memory has a bound, whatever the text.
func Decode(text []byte, into any) *Fault { return decode(text, into, decoding) }

// Merge changes acc as a JSON Merge Patch (RFC 7396) says: what is absent stays,
// null removes. It is as strict as Decode.
func Merge(patch []byte, acc *store.Account) *Fault { return decode(patch, acc, merging) }

// Canonical returns the canonical form (RFC 8785) of a text that Decode or Merge
// takes: two texts that differ in spaces, escapes or the order of members have one.
func Canonical(text []byte) []byte {
	value := jsontext.Value(bytes.TrimPrefix(text, byteOrderMark)).Clone()
	if err := value.Canonicalize(); err != nil {
		panic(err) // not a text that Decode or Merge takes
	}
	return value
}

// byteOrderMark is U+FEFF in UTF-8, which some editors and shells put before a text.
var byteOrderMark = []byte("\ufeff")

var decoding, merging = strictly(labelReader(false)), strictly(labelReader(true))

func strictly(labels func(*jsontext.Decoder, *map[string]string) error) json.Options {
	return json.JoinOptions(json.RejectUnknownMembers(true), json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(labels), json.UnmarshalFromFunc(readID), json.UnmarshalFromFunc(readIDs),
		json.UnmarshalFromFunc(readVersion))))
}

func decode(text []byte, into any, opts json.Options) *Fault {
	text = bytes.TrimPrefix(text, byteOrderMark)
	switch {
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return &Fault{Pointer: "#", Detail: "is UTF-16; it must be UTF-8", Malformed: true}
	case !utf8.Valid(text):
		return &Fault{Pointer: "#", Detail: "is not valid UTF-8", Malformed: true}
	}
	if err := json.Unmarshal(text, into, opts); err != nil {
		return faultOf(err)
	}
	if jsontext.Value(text).Kind() == 'n' {
		return &Fault{Pointer: "#", Detail: "must be an object"}
	}
	return nil
}

// faultOf puts an error of the decoder or of a Validate into words that repeat no value.
func faultOf(err error) *Fault {
	var fault *Fault
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	var invalid *store.Invalid
	switch {
	case errors.As(err, &fault):
		return fault
	case errors.As(err, &invalid):
		return &Fault{Pointer: "#/" + invalid.Field, Detail: invalid.Reason}
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return &Fault{Pointer: fragment(syntax.JSONPointer), Detail: "stands twice in its object", Malformed: true}
	case errors.As(err, &syntax):
		detail := "is not valid JSON at byte " + strconv.FormatInt(syntax.ByteOffset, 10)
		return &Fault{Pointer: fragment(syntax.JSONPointer), Detail: detail, Malformed: true}
	case !errors.As(err, &semantic):
		return &Fault{Pointer: "#", Detail: "is not valid JSON", Malformed: true}
	case errors.Is(err, json.ErrUnknownName):
		return faultAt(semantic.JSONPointer, "is not a known member")
	case semantic.GoType == reflect.TypeFor[time.Time]():
		return faultAt(semantic.JSONPointer, "must be a time as in RFC 3339")
	case semantic.GoType != nil && semantic.GoType.Kind() == reflect.Struct:
		return faultAt(semantic.JSONPointer, "must be an object")
	}
	return faultAt(semantic.JSONPointer, "must be a string")
}

func faultAt(p jsontext.Pointer, detail string) *Fault {
	return &Fault{Pointer: fragment(p), Detail: detail}
}

// maxPointer bounds what of a caller's own names is repeated.
const maxPointer = 200

// fragment writes a pointer as the fragment of a URI, where control characters are escaped.
func fragment(p jsontext.Pointer) string {
	text := "#" + (&url.URL{Fragment: string(p)}).EscapedFragment()
	if len(text) > maxPointer {
		return "#"
	}
	return text
}

// labelReader reads labels. In a merge patch they are changes to those that are
// there: null removes one, and as many may be named as there can be, twice over.
func labelReader(merge bool) func(*jsontext.Decoder, *map[string]string) error {
	most := store.MaxLabels
	if merge {
		most *= 2
	}
	return func(dec *jsontext.Decoder, labels *map[string]string) error {
		if dec.PeekKind() == 'n' || *labels == nil || !merge {
			*labels = make(map[string]string)
		}
		return readEach(dec, '{', most, "must be an object of strings", func(key jsontext.Token) error {
			name := key.String() // before the next token takes its place
			value, err := dec.ReadToken()
			switch {
			case err != nil:
				return err
			case value.Kind() == '"':
				(*labels)[name] = value.String()
				return nil
			case value.Kind() == 'n' && merge:
				delete(*labels, name)
				return (store.Draft{Name: "x", Labels: map[string]string{name: ""}}).Validate() // such a label can be
			}
			return faultAt(dec.StackPointer(), "must be a string")
		})
	}
}

func readIDs(dec *jsontext.Decoder, ids *[]store.ID) error {
	return readEach(dec, '[', MaxIDs, "must be a list of strings", func(id jsontext.Token) error {
		*ids = append(*ids, "")
		return parseID(id, dec.StackPointer(), &(*ids)[len(*ids)-1])
	})
}

// readID reads an id; null is none.
func readID(dec *jsontext.Decoder, id *store.ID) error {
	token, err := dec.ReadToken()
	if err == nil && token.Kind() == 'n' {
		*id = ""
		return nil
	}
	if err != nil {
		return err
	}
	return parseID(token, dec.StackPointer(), id)
}

func parseID(token jsontext.Token, at jsontext.Pointer, id *store.ID) (err error) {
	if token.Kind() != '"' {
		return faultAt(at, "must be a string")
	}
	var invalid *store.Invalid
	if *id, err = store.ParseID(token.String()); errors.As(err, &invalid) {
		return faultAt(at, invalid.Reason)
	}
	return nil
}

// readEach calls read for each element of a list, or each name of an object. There
// are at most so many, and null is none.
func readEach(dec *jsontext.Decoder, kind jsontext.Kind, most int, want string, read func(jsontext.Token) error) error {
	start, err := dec.ReadToken()
	if err != nil {
		return err
	}
	at := dec.StackPointer()
	if start.Kind() != kind {
		return orNull(start, at, want)
	}
	for n := 0; ; n++ {
		token, err := dec.ReadToken()
		switch {
		case err != nil:
			return err
		case token.Kind() == ']' || token.Kind() == '}':
			return nil
		case n == most:
			return faultAt(at, fmt.Sprintf("must be at most %d", most))
		}
		if err := read(token); err != nil {
			return err
		}
	}
}

// readVersion reads the version of an account, the one number of ours.
func readVersion(dec *jsontext.Decoder, version *int64) error {
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(token.String(), 10, 64)
	if token.Kind() != '0' || err != nil || n < 1 || n > store.MaxVersion {
		*version = 0
		return orNull(token, dec.StackPointer(), fmt.Sprintf("must be a whole number from 1 to %d", int64(store.MaxVersion)))
	}
	*version = n
	return nil
}

// orNull returns nil if the token is null, and a fault if it is anything else.
func orNull(token jsontext.Token, at jsontext.Pointer, detail string) error {
	if token.Kind() == 'n' {
		return nil
	}
	return faultAt(at, detail)
}

package transfer

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"accountservice/internal/store"
)

// record is an account as its line has it: labels are of string in a line that
// is written, and of *string in one that is read, where null is none.
type record[text any] struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Email     string          `json:"email,omitzero"`
	Labels    map[string]text `json:"labels,omitempty"`
	Version   *int64          `json:"version,omitzero"`
	CreatedAt time.Time       `json:"created_at,omitzero"`
	UpdatedAt time.Time       `json:"updated_at,omitzero"`
}

// wants says what a member must be, for those that have a type of their own.
var wants = map[jsontext.Pointer]string{
	"/version":    fmt.Sprintf("must be a whole number from 1 to %d", int64(store.MaxVersion)),
	"/created_at": "must be a time as in RFC 3339",
	"/updated_at": "must be a time as in RFC 3339",
	"/labels":     "must be an object of strings",
	"":            "must be an object",
}

// Fault is what is wrong with one line. It never holds the value that was
// refused.
type Fault struct {
	Line    int    // from 1
	Pointer string // which member, as a JSON Pointer in a fragment (RFC 6901, 6); "#" is the line
	Detail  string
}

func (f Fault) Error() string { return fmt.Sprintf("line %d: %s: %s", f.Line, f.Pointer, f.Detail) }

// appendLine adds acc to b as a line, which has no version or times if acc has
// none.
func appendLine(b []byte, acc store.Account) ([]byte, error) {
	r := record[string]{string(acc.ID), acc.Name, acc.Email, acc.Labels, nil, acc.CreatedAt, acc.UpdatedAt}
	if acc.Version > 0 {
		r.Version = new(min(acc.Version, store.MaxVersion)) // a file from before that limit may have more
	}
	text, err := json.Marshal(r, json.Deterministic(true))
	if err != nil {
		return b, fmt.Errorf("account %q: %w", acc.ID, err) // of a file that another program wrote
	}
	return append(append(b, text...), '\n'), nil
}

// parseLine returns the account of a line, or what is wrong with it.
func parseLine(line []byte) (store.Account, *Fault) {
	var r record[*string]
	if !utf8.Valid(line) {
		return store.Account{}, &Fault{Pointer: "#", Detail: "is not valid UTF-8"}
	}
	if err := json.Unmarshal(line, &r, json.RejectUnknownMembers(true)); err != nil {
		return store.Account{}, faultOf(err)
	}
	if r.Version != nil && *r.Version < 1 {
		return store.Account{}, &Fault{Pointer: "#/version", Detail: wants["/version"]}
	}
	labels, fault := labelsOf(r.Labels)
	if fault != nil {
		return store.Account{}, fault
	}
	acc := store.Account{ID: store.ID(r.ID), Draft: store.Draft{Name: r.Name, Email: r.Email, Labels: labels}, CreatedAt: stored(r.CreatedAt), UpdatedAt: stored(r.UpdatedAt)}
	if r.Version != nil {
		acc.Version = *r.Version
	}
	var invalid *store.Invalid
	if errors.As(acc.Validate(), &invalid) {
		return store.Account{}, &Fault{Pointer: fragment(jsontext.Pointer("/" + invalid.Field)), Detail: invalid.Reason}
	}
	return acc, nil
}

func labelsOf(texts map[string]*string) (map[string]string, *Fault) {
	if len(texts) == 0 {
		return nil, nil
	}
	labels := make(map[string]string, len(texts))
	for name, text := range texts {
		if text == nil {
			return nil, &Fault{Pointer: fragment(jsontext.Pointer("").AppendToken("labels").AppendToken(name)), Detail: "must be a string"}
		}
		labels[name] = *text
	}
	return labels, nil
}

// stored is t as every store keeps it.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// faultOf puts an error of the decoder into words that repeat no value.
func faultOf(err error) *Fault {
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return &Fault{Pointer: fragment(syntax.JSONPointer), Detail: "stands twice in its object"}
	case errors.As(err, &syntax):
		return &Fault{Pointer: fragment(syntax.JSONPointer), Detail: "is not valid JSON at byte " + strconv.FormatInt(syntax.ByteOffset, 10)}
	case !errors.As(err, &semantic):
		return &Fault{Pointer: "#", Detail: "is not valid JSON"}
	case errors.Is(err, json.ErrUnknownName):
		return &Fault{Pointer: fragment(semantic.JSONPointer), Detail: "is not a member of an account"}
	}
	want, special := wants[semantic.JSONPointer]
	if !special {
		want = "must be a string"
	}
	return &Fault{Pointer: fragment(semantic.JSONPointer), Detail: want}
}

// maxPointer bounds what of a caller's own names is repeated.
const maxPointer = 200

// fragment writes a pointer as the fragment of a URI, where control characters
// are escaped.
func fragment(p jsontext.Pointer) string {
	text := "#" + (&url.URL{Fragment: string(p)}).EscapedFragment()
	if len(text) > maxPointer {
		return "#"
	}
	return text
}

package handlers

import (
	"strings"

	"accountservice/internal/store"
)

// Target is the part of an input that names an account and the state that it must
// be in. It is exported because huma can fill an embedded struct only then.
type Target struct {
	ID      string `path:"id" hidden:"true"` // the document has it from idSchema
	IfMatch string `header:"If-Match" doc:"Only if the account has one of these ETags; * is any" example:"*"`
}

// parse reads If-Match as preconditions. Weak tags never match.
func (t Target) parse() (id store.ID, pre store.Preconditions, err error) {
	if id, err = store.ParseID(t.ID); err != nil {
		return id, pre, err
	}
	match, err := parseTags("If-Match", t.IfMatch)
	pre.Present = match.any
	if pre.Revisions = match.strong; len(match.all) > 0 && pre.Revisions == nil {
		pre.Revisions = []store.Revision{""} // of no account: weak tags alone match nothing, and are a condition
	}
	return id, pre, err
}

// etag is the strong entity tag of an account (RFC 9110, 8.8.3).
func etag(acc store.Account) string { return `"` + string(acc.Revision()) + `"` }

// tags is a list of entity tags as a condition gives it; the zero value is no condition.
type tags struct {
	any         bool // "*"
	strong, all []store.Revision
}

// parseTags reads an If-Match or If-None-Match (RFC 9110, 13.1.1); "" is none.
func parseTags(header, value string) (tags, error) {
	var list tags
	if value == "*" {
		list.any = true
		return list, nil
	}
	for rest := strings.TrimLeft(value, ", \t"); rest != ""; rest = strings.TrimLeft(rest, ", \t") {
		quoted, weak := strings.CutPrefix(rest, "W/")
		tag, after, ok := cutTag(quoted)
		if !ok {
			return tags{}, malformed(header, "must be * or a list of entity tags, each in double quotes")
		}
		list.all = append(list.all, store.Revision(tag))
		if !weak {
			list.strong = append(list.strong, store.Revision(tag))
		}
		rest = after
	}
	return list, nil
}

// cutTag takes an opaque-tag from the beginning of s, which must end there or go on with a comma.
func cutTag(s string) (tag, after string, ok bool) {
	s, opened := strings.CutPrefix(s, `"`)
	tag, after, closed := strings.Cut(s, `"`)
	after = strings.TrimLeft(after, " \t")
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f }
	return tag, after, opened && closed && !strings.ContainsFunc(tag, bad) && (after == "" || after[0] == ',')
}

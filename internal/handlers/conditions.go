package handlers

import (
	"slices"
	"strings"

	"accountservice/internal/store"
)

// IfMatch and IfNoneMatch are parts of inputs. They are exported because huma
// can fill an embedded struct only then.
type (
	IfMatch struct {
		IfMatch string `header:"If-Match" doc:"Only if the account has one of these ETags; * is any" example:"\"1-ZbYh0ySxPxYn9l2V\""`
	}
	IfNoneMatch struct {
		IfNoneMatch string `header:"If-None-Match" doc:"Only if the account has none of these ETags; * is any"`
	}
)

// etag is the strong entity tag of an account (RFC 9110, 8.8.3).
func etag(acc store.Account) string { return `"` + string(acc.Revision()) + `"` }

// tags is a list of entity tags as a condition gives it; the zero value is no
// condition.
type tags struct {
	any         bool // "*"
	strong, all []store.Revision
}

func (t tags) given() bool { return t.any || t.all != nil }

// preconditions returns those of If-Match. Weak tags never match.
func (t tags) preconditions() store.Preconditions {
	pre := store.Preconditions{Present: t.any}
	if t.all != nil {
		pre.Revisions = append([]store.Revision{}, t.strong...) // not nil: without a strong tag nothing matches
	}
	return pre
}

// holdsFor reports whether If-Match lets work on acc happen.
func (t tags) holdsFor(acc store.Account) bool {
	return !t.given() || t.any || slices.Contains(t.strong, acc.Revision())
}

// names reports whether If-None-Match lists acc: weak tags count there.
func (t tags) names(acc store.Account) bool {
	return t.any || slices.Contains(t.all, acc.Revision())
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

// cutTag takes an opaque-tag from the beginning of s, which must end there or
// go on with a comma.
func cutTag(s string) (tag, after string, ok bool) {
	s, opened := strings.CutPrefix(s, `"`)
	tag, after, closed := strings.Cut(s, `"`)
	after = strings.TrimLeft(after, " \t")
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f }
	return tag, after, opened && closed && !strings.ContainsFunc(tag, bad) && (after == "" || after[0] == ',')
}

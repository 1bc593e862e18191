package dependency

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
)

// options are the parameters of a URL, and what is wrong with it. A kind takes those it knows; what is not taken is
// unknown.
type options struct {
	pairs  []option
	known  []string
	faults []string
	others string // what to do with a parameter of the server's that is taken for a typing error, if there can be some
}

type option struct {
	raw, name, value string
	taken            bool
}

func newOptions(query string) *options {
	o := &options{}
	for raw := range strings.SplitSeq(query, "&") {
		if raw == "" {
			continue
		}
		name, value, _ := strings.Cut(raw, "=")
		plain, err := url.QueryUnescape(value)
		if err != nil {
			o.fault("has an option with a broken %%: write %%25 for the sign itself")
		}
		o.pairs = append(o.pairs, option{raw: raw, name: name, value: cmp.Or(plain, value)})
	}
	return o
}

// fault notes what is wrong with the URL. It must repeat no value.
func (o *options) fault(format string, args ...any) {
	o.faults = append(o.faults, fmt.Sprintf(format, args...))
}

// take returns the value of an option, "" when it is not set. An empty one is a fault, as in every setting.
func (o *options) take(name string) (value string) {
	o.known = append(o.known, name)
	for i, pair := range o.pairs {
		switch {
		case pair.name != name:
			continue
		case value != "":
			o.fault("sets option %s twice: keep one", name)
		case pair.value == "":
			o.fault("has an empty option %s: give it a value or leave it out", name)
		}
		value = pair.value
		o.pairs[i].taken = true
	}
	return value
}

// text is an option of at most 1024 bytes; "" when it is not set.
func (o *options) text(name string) string {
	value := o.take(name)
	if len(value) > 1024 {
		o.fault("has too long an option %s", name)
	}
	return value
}

// isFile is true for a regular file of at most 1 MiB. To open another, such as a named pipe, could wait for ever.
func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() <= 1<<20
}

// word is an option that is one of these words, the first when it is not set.
func (o *options) word(name string, words ...string) string {
	value := o.take(name)
	if value == "" {
		return words[0]
	}
	if !slices.Contains(words, value) {
		o.fault("must have %s as its option %s", strings.Join(words, " or "), name)
	}
	return value
}

// duration is an option with a unit, not below zero.
func (o *options) duration(name string, byDefault time.Duration) time.Duration {
	value := o.take(name)
	if value == "" {
		return byDefault
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		o.fault("must have a duration with units as its option %s, such as 336h", name)
	}
	return d
}

// unknown notes each parameter that was not taken. It is called last.
func (o *options) unknown(scheme string) {
	for _, pair := range o.pairs {
		if pair.taken {
			continue
		}
		if near := nearest(pair.name, o.known); near != "" {
			o.fault("has an unknown option, did you mean %s?%s", near, o.others)
		} else {
			takes := cmp.Or(strings.Join(slices.Sorted(slices.Values(o.known)), ", "), "none")
			o.fault("has an unknown option: %s takes %s", scheme, takes)
		}
	}
}

// passOn takes the parameters that are not ours and returns them as they are, for a protocol whose URLs have some of
// their own. A parameter within two letters of one of our options is not passed on, so that it is reported as a typo.
// One whose name is an option of ours, too, is passed on if a letter of it is percent-encoded.
func (o *options) passOn() (query string) {
	o.others = " If it is for the server, percent-encode a letter of its name"
	var rest []string
	for i, pair := range o.pairs {
		if !pair.taken && nearest(pair.name, o.known) == "" {
			o.pairs[i].taken = true
			rest = append(rest, pair.raw)
		}
	}
	return strings.Join(rest, "&")
}

// nearest is the name at most two letters away, or "".
func nearest(name string, known []string) string {
	for _, k := range known {
		if levenshtein.ComputeDistance(name, k) <= 2 {
			return k
		}
	}
	return ""
}

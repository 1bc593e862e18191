package dependency

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
)

// options are the parameters of a URL. A kind takes those it knows; what is not taken is unknown.
type options struct {
	pairs []option
	known []string
	fault error // in the encoding
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
			o.fault = errors.New("has an option with a broken %: write %25 for the sign itself")
			plain = value
		}
		o.pairs = append(o.pairs, option{raw: raw, name: name, value: plain})
	}
	return o
}

// take returns the value of an option and whether it is set. An empty one is an error, as in every setting.
func (o *options) take(name string) (value string, set bool, err error) {
	o.known = append(o.known, name)
	for i, pair := range o.pairs {
		switch {
		case pair.name != name:
			continue
		case set:
			err = fmt.Errorf("sets option %s twice: keep one", name)
		case pair.value == "":
			err = fmt.Errorf("has an empty option %s: give it a value or leave it out", name)
		}
		value, set = pair.value, true
		o.pairs[i].taken = true
	}
	return value, set, err
}

// text is an option that is any text; "" when it is not set.
func (o *options) text(name string) (string, error) {
	value, _, err := o.take(name)
	return value, err
}

// word is an option that is one of these words, the first when it is not set.
func (o *options) word(name string, words ...string) (string, error) {
	value, set, err := o.take(name)
	switch {
	case !set:
		return words[0], nil
	case err == nil && !slices.Contains(words, value):
		err = fmt.Errorf("must have %s as its option %s", strings.Join(words, " or "), name)
	}
	return value, err
}

// duration is an option with a unit, not below zero.
func (o *options) duration(name string, byDefault time.Duration) (time.Duration, error) {
	value, set, err := o.take(name)
	if !set || err != nil {
		return byDefault, err
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("must have a duration with units as its option %s, such as 336h", name)
	}
	return d, nil
}

// unknown is an error for each parameter that was not taken. It is called last.
func (o *options) unknown(scheme string) error {
	faults := []error{o.fault}
	for _, pair := range o.pairs {
		if pair.taken {
			continue
		}
		takes := cmp.Or(strings.Join(slices.Sorted(slices.Values(o.known)), ", "), "none")
		hint := fmt.Sprintf(": %s takes %s", scheme, takes)
		if near := nearest(pair.name, o.known); near != "" {
			hint = fmt.Sprintf(", did you mean %s?", near)
		}
		faults = append(faults, errors.New("has an unknown option"+hint))
	}
	return errors.Join(faults...)
}

// passOn takes the parameters that are not ours and returns them as they are, for a protocol whose URLs have some of
// their own. A parameter within two letters of one of our options is not passed on, so that it is reported as a typo.
// One whose name is an option of ours, too, is passed on if a letter of it is percent-encoded.
func (o *options) passOn() (query string) {
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

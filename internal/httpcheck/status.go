package httpcheck

import (
	"slices"
	"strconv"
	"strings"
)

// Status reads codes from 200 to 599 and ranges of them, such as 2xx, 200-299 or 200,204,400-499. The result reports
// whether a code is one of them. It is nil if text is invalid.
func Status(text string) (wanted func(code int) bool) {
	var ranges [][2]int
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if hundreds, is := strings.CutSuffix(part, "xx"); is {
			from, to = hundreds+"00", hundreds+"99"
		} else if !isRange {
			to = from
		}
		first, last := parseCode(from), parseCode(to)
		if first < 200 || last > 599 || first > last {
			return nil
		}
		ranges = append(ranges, [2]int{first, last})
	}
	return func(code int) bool {
		return slices.ContainsFunc(ranges, func(r [2]int) bool { return r[0] <= code && code <= r[1] })
	}
}

// parseCode reads the three digits of a code; it is 0 for any other text, such as +200.
func parseCode(text string) int {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || len(text) != 3 {
		return 0
	}
	return int(n)
}

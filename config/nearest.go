package config

import "strings"

// longestName is more than any name there is: who writes a longer one made no
// typing error, and comparing it would be slow.
const longestName = 200

// nearest is the candidate that name was probably meant to be, or "": the one
// with the fewest typing errors, else the only one that ends like it (port for
// http.port).
func nearest(name string, candidates []string, separator string) string {
	if len(name) > longestName {
		return ""
	}
	best, fewest := "", 1+max(2, len(name)/8)
	var endsAlike []string
	for _, candidate := range candidates {
		if strings.EqualFold(candidate, name) {
			return candidate
		}
		if d := distance(name, candidate, fewest); d < fewest {
			best, fewest = candidate, d
		}
		if last := separator + strings.TrimPrefix(name, EnvPrefix); strings.HasSuffix(candidate, last) {
			endsAlike = append(endsAlike, candidate)
		}
	}
	if best == "" && len(endsAlike) == 1 {
		return endsAlike[0]
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap to make b of
// a. It gives up at limit: a long name against the whole table stays cheap.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, above[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}

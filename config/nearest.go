package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// longestName is longer than any name of a setting. A longer name is no typing error, and comparing it would be slow.
const longestName = 200

// nearest returns the candidate that name was probably meant to be, or "": the one with the fewest typing errors, else
// the only one that ends like name, as http.port ends like port.
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
		if d := levenshtein.ComputeDistance(name, candidate); d < fewest {
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

// nearestKey returns the key or section that an unknown key was probably meant
// to be, or "". It takes and returns keys with NAME in them.
func (s schema) nearestKey(pattern string) string {
	return nearest(pattern, slices.Concat(slices.Sorted(maps.Keys(s.byKey)), slices.Sorted(maps.Keys(s.sections))), ".")
}

// nearestVariable returns the variable that an unknown one was probably meant to
// be, or "". It knows no variable of a dependency.
func (s schema) nearestVariable(name string) string {
	base, isFile := strings.CutSuffix(name, FileSuffix)
	if base == fileVariable {
		return base
	}
	candidates := []string{fileVariable, unknownVariable}
	for _, r := range s.rows {
		if !strings.Contains(r.key, anyName) {
			candidates = append(candidates, variable(r.key))
		}
	}
	found := nearest(base, candidates, "_")
	if found != "" && isFile {
		found += FileSuffix
	}
	return found
}

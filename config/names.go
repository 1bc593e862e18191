package config

import (
	"errors"
	"strings"
)

// Names are names of hosts, in lower case. As text they have commas between them.
type Names []string

func (n Names) String() string { return strings.Join(n, ",") }

// parseNames takes names without ports. An empty text is no name.
func parseNames(text string) (Names, error) {
	if text == "" {
		return nil, nil
	}
	var names Names
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), ".")
		if !hostName.MatchString(name) {
			return nil, errors.New("must be names with commas between them, such as accounts.example.org, " +
				"without http:// and port")
		}
		names = append(names, name)
	}
	return names, nil
}

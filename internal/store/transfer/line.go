package transfer

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"accountservice/internal/store"
)

// appendLine adds acc to b as a line, which has no version or times if acc has
// none.
func appendLine(b []byte, acc store.Account) ([]byte, error) {
	acc.Version = min(acc.Version, store.MaxVersion) // a file from before that limit may have more
	text, err := json.Marshal(acc, json.Deterministic(true))
	if err != nil {
		return b, fmt.Errorf("account %q: %w", acc.ID, err) // of a file that another program wrote
	}
	return append(append(b, text...), '\n'), nil
}

// parseLine returns the account of a line, or what is wrong with it.
func parseLine(line []byte) (acc store.Account, fault *Fault) {
	if fault := Decode(line, &acc); fault != nil {
		return store.Account{}, fault
	}
	if err := acc.Validate(); err != nil {
		return store.Account{}, faultOf(err)
	}
	return acc, nil
}

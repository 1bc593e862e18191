package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxTokens bounds a file: each request is compared with every token.
	maxTokens = 1000
	// maxRate is in requests a second.
	maxRate = 1_000_000
	// maxFaults bounds an error: the wrong file may have a fault in each of very many lines.
	maxFaults = 10
)

var wellFormedName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// entry is one line of the file.
type entry struct {
	hash   [sha256.Size]byte
	caller *Caller
}

// parse reads the text of a file of tokens. The error has the first faults with their lines. Of the file it repeats only
// the names of callers.
func parse(text string) ([]entry, error) {
	text = strings.TrimPrefix(text, "\ufeff") // of editors on Windows
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return nil, errors.New("is UTF-16, which PowerShell writes: save it as UTF-8")
	}
	f := file{callers: map[string]*Caller{}, lines: map[string]int{}, hashes: map[[sha256.Size]byte]int{}}
	var faults []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := f.add(number, line); err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", number, err))
		}
		if len(faults) == maxFaults {
			faults = append(faults, errors.New("later lines were not looked at"))
			break
		}
	}
	switch {
	case len(faults) > 0:
		return nil, errors.Join(faults...)
	case len(f.entries) == 0:
		return nil, errors.New("has no token: accountservice token create makes one")
	case len(f.entries) > maxTokens:
		return nil, fmt.Errorf("has %d tokens, and %d are allowed", len(f.entries), maxTokens)
	}
	return f.entries, nil
}

// file is what was read of a file of tokens.
type file struct {
	entries []entry
	callers map[string]*Caller
	lines   map[string]int            // the first line of each name
	hashes  map[[sha256.Size]byte]int // the line of each
}

// add reads a line. Lines of one name are one caller whose token is being replaced, so they must agree.
func (f *file) add(number int, line string) error {
	e, err := parseLine(line)
	if err != nil {
		return err
	}
	if before := f.hashes[e.hash]; before > 0 {
		return fmt.Errorf("has the token of line %d: each line needs its own", before)
	}
	name := e.caller.Name
	known := f.callers[name]
	switch {
	case known == nil:
		f.callers[name], f.lines[name] = e.caller, number
	case known.rate != e.caller.rate || !slices.Equal(known.scopes, e.caller.scopes):
		return fmt.Errorf("%s has other scopes or another rate in line %d: give every caller its own name; "+
			"a second token of one caller has the same scopes and rate", name, f.lines[name])
	default:
		e.caller = known
	}
	f.hashes[e.hash] = number
	f.entries = append(f.entries, e)
	return nil
}

// parseLine reads name:scopes:sha256hex[:rate=100/s].
func parseLine(line string) (e entry, err error) {
	fields := strings.Split(line, ":")
	if len(fields) != 3 && len(fields) != 4 {
		return e, errors.New("must be name:scopes:sha256hex, or name:scopes:sha256hex:rate=100/s")
	}
	e.caller = &Caller{Name: fields[0]}
	if len(fields[0]) > 63 || !wellFormedName.MatchString(fields[0]) {
		return e, errors.New("the name must have 1 to 63 letters, digits, . _ and -, and start with a letter or digit")
	}
	if e.caller.scopes, err = parseScopes(fields[1]); err != nil {
		return e, err
	}
	hash, err := hex.DecodeString(fields[2])
	if err != nil || len(hash) != sha256.Size {
		return e, errors.New("the third field must be the SHA-256 of the token in 64 hexadecimal digits")
	}
	copy(e.hash[:], hash)
	if len(fields) == 4 {
		count, named := strings.CutPrefix(fields[3], "rate=")
		count, unit := strings.CutSuffix(count, "/s")
		e.caller.rate, err = strconv.Atoi(count)
		if !named || !unit || err != nil || e.caller.rate < 1 || e.caller.rate > maxRate {
			return e, fmt.Errorf("the rate must be 1 to %d requests a second, such as 100/s; in the file it is the fourth field, "+
				"rate=100/s", maxRate)
		}
	}
	return e, nil
}

// parseScopes reads scopes with commas between, and returns them in the order of Scopes.
func parseScopes(text string) (scopes []Scope, err error) {
	given := strings.Split(text, ",")
	for _, scope := range Scopes() {
		if slices.Contains(given, string(scope)) {
			scopes = append(scopes, scope)
		}
	}
	if len(scopes) != len(given) {
		return nil, errors.New("the scopes must be some of read, write, admin and health, each once, with commas between")
	}
	return scopes, nil
}

// Create returns a new token and the line that belongs in the file. rate is as in the file without its name, such as
// 100/s, or empty.
func Create(name, scopes, rate string) (token, line string, err error) {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	token = "acct_" + base64.RawURLEncoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(token))
	line = name + ":" + scopes + ":" + hex.EncodeToString(hash[:])
	if rate != "" {
		line += ":rate=" + rate
	}
	if strings.Contains(name+scopes+rate, ":") {
		return "", "", errors.New("name, scopes and rate have no colon")
	}
	_, err = parseLine(line)
	return token, line, err
}

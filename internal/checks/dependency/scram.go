package dependency

import (
	"context"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
)

// maxIterations bounds the work that whoever answers can ask for: no run's deadline would end it. Servers ask for 4096 to
// 310000 today. The library has the same bound, and no error of its own for it.
const maxIterations = 1 << 20

// scramLogin logs in by SCRAM (RFC 5802), in which the server proves that it knows the password, too. exchange sends a
// message and returns the server's next. User and password are taken as they are: SASLprep (RFC 4013) refuses emoji, and
// changes what a server that does without it was told.
func scramLogin(mechanism sasl.Mechanism, exchange func(string) (string, error)) error {
	session, first, err := mechanism.Authenticate(context.Background(), "")
	if err != nil {
		return err // no user or no password, which the kinds refuse
	}
	challenge, err := exchange(string(first))
	if err != nil {
		return err
	}
	if iterations(challenge) > maxIterations {
		return verdictf("the server wants more than %d iterations of SCRAM", maxIterations)
	}
	_, proof, err := session.Challenge([]byte(challenge))
	if err != nil {
		return errNotSpoken
	}
	answer, err := exchange(string(proof))
	if err != nil {
		return err
	}
	if proven, _, _ := session.Challenge([]byte(answer)); !proven {
		return verdictf("the server does not prove that it knows the password: it is another one")
	}
	return nil
}

// iterations is the count in a server's first message, 0 in any other.
func iterations(message string) int {
	for field := range strings.SplitSeq(message, ",") {
		if count, is := strings.CutPrefix(field, "i="); is {
			n, _ := strconv.Atoi(count)
			return n
		}
	}
	return 0
}

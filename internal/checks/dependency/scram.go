package dependency

import (
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// maxIterations bounds the work that whoever answers can ask for: the library has no bound, and no run's deadline would
// end it. Servers ask for 4096 to 310000 today.
const maxIterations = 1 << 20

// scramLogin logs in by SCRAM, in which the server proves that it knows the password, too. exchange sends a message and
// returns the server's next. User and password are taken as they are: SASLprep (RFC 4013) refuses emoji, and changes what
// a server that does without it was told.
func scramLogin(hash scram.HashGeneratorFcn, user, password string, exchange func(string) (string, error)) error {
	client, _ := hash.NewClientUnprepped(user, password, "") // which has no error
	conversation := client.NewConversation()
	next, err := conversation.Step("")
	for err == nil {
		reply, failed := exchange(next)
		if failed != nil {
			return failed
		}
		if iterations(reply) > maxIterations {
			return verdictf("the server wants more than %d iterations of SCRAM", maxIterations)
		}
		if next, err = conversation.Step(reply); conversation.Valid() {
			return nil
		}
	}
	if conversation.Done() {
		return verdictf("the server does not prove that it knows the password: it is another one")
	}
	return errNotSpoken
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

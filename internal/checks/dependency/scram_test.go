package dependency

import (
	"fmt"
	"strings"
	"testing"

	client "github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/xdg-go/scram"

	"accountservice/tests/harness"
)

// Whoever answers must neither be taken for the server nor make this one compute for longer than a run.
func TestAStrangerWhoSpeaksSCRAM(t *testing.T) {
	for name, c := range map[string]struct{ first, second, want string }{
		"too much work":      {",s=QUJD,i=1048577", "", "the server wants more than 1048576 iterations of SCRAM"},
		"work without end":   {",s=QUJD,i=99999999999999999999", "", "the server wants more than 1048576 iterations of SCRAM"},
		"too little work":    {",s=QUJD,i=4095", "", "not the protocol"},
		"another first":      {"", "", "not the protocol"},
		"a wrong proof":      {",s=QUJD,i=4096", "v=QUJD", "the server does not prove that it knows the password: it is another one"},
		"no proof":           {",s=QUJD,i=4096", "", "the server does not prove that it knows the password: it is another one"},
		"an error, no proof": {",s=QUJD,i=4096", "e=hunter2", "the server does not prove that it knows the password: it is another one"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			says(t, scramLogin(client.Auth{User: "u", Pass: "hunter2"}.AsSha256Mechanism(), func(message string) (string, error) {
				if asked++; asked > 1 {
					return c.second, nil
				}
				_, nonce, _ := strings.Cut(message, ",r=")
				return "r=" + nonce + "x" + c.first, nil
			}), c.want)
		})
	}
}

// Kafka keeps a password as it was typed, and MongoDB a user's name.
func TestSCRAMChangesNoCharacter(t *testing.T) {
	for _, text := range []string{"hunter2", "\u00bd", "a\u00a0b", "\U0001F511", "\u0627a", "a=b,c"} {
		credentials, err := scram.SHA256.NewClientUnprepped(text, text, "")
		harness.Must(t, err)
		logsIn(t, text, text, credentials)
	}
}

// The other library has the tables of SASLprep.
func TestPasswordOfMongoDBHasTheFormOfSASLprep(t *testing.T) {
	for _, r := range "x\u00a0\u00ad\u00bd\u034f\u1680\u180b\u180d\u2003\u200b\u200c\u200d\u2060\u2168\u3000\ufe00\ufe0f\ufeff" {
		password := "a" + string(r) + "b"
		credentials, err := scram.SHA256.NewClient("u", password, "")
		harness.Must(t, err)
		logsIn(t, "u", saslprep(password), credentials)
	}
}

// logsIn logs in to a server that has the user with these credentials.
func logsIn(t *testing.T, user, password string, credentials *scram.Client) {
	t.Helper()
	stored, err := credentials.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: 4096})
	harness.Must(t, err)
	server, err := scram.SHA256.NewServer(func(given string) (scram.StoredCredentials, error) {
		if given != user {
			return stored, fmt.Errorf("user %q, want %q", given, user)
		}
		return stored, nil
	})
	harness.Must(t, err)
	if err := scramLogin(client.Auth{User: user, Pass: password}.AsSha256Mechanism(), server.NewConversation().Step); err != nil {
		t.Errorf("%+q, %+q: %v", user, password, err)
	}
}

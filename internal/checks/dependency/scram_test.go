package dependency

import (
	"fmt"
	"strings"
	"testing"

	client "github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/xdg-go/scram"
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

// Kafka keeps a password as it was typed, and both keep a user's name so; MongoDB's own form of passwords is in the
// tests of its kind.
func TestSCRAMChangesNoCharacter(t *testing.T) {
	for _, text := range []string{"hunter2", "\u00bd", "a\u00a0b", "\U0001F511", "\u0627a", "a=b,c"} {
		credentials, err := scram.SHA256.NewClientUnprepped(text, text, "")
		if err != nil {
			t.Fatal(err)
		}
		stored, err := credentials.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: 4096})
		if err != nil {
			t.Fatal(err)
		}
		server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
			if user != text {
				return stored, fmt.Errorf("user %q, want %q", user, text)
			}
			return stored, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := scramLogin(client.Auth{User: text, Pass: text}.AsSha256Mechanism(), server.NewConversation().Step); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

package dependency

import (
	"strings"
	"testing"

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
			says(t, scramLogin(scram.SHA256, "u", "hunter2", func(message string) (string, error) {
				if asked++; asked > 1 {
					return c.second, nil
				}
				_, nonce, _ := strings.Cut(message, ",r=")
				return "r=" + nonce + "x" + c.first, nil
			}), c.want)
		})
	}
}

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"accountservice/config"
	"accountservice/internal/auth"
	"accountservice/internal/client"
)

// newTokenCommand makes tokens. It reads and writes no file.
func newTokenCommand(p program) *cobra.Command {
	var name, scopes, rate string
	create := &cobra.Command{
		Use: "create --name NAME --scopes SCOPES", Short: "Make a token and its line for the file of auth.tokens_path",
		Long: "Makes a token and prints two lines to standard output: the token, which is shown this once and kept\n" +
			"nowhere, and the line that belongs in the file of auth.tokens_path. The scopes are some of read,\n" +
			"write, admin and health, with commas between.\n\n" +
			"To replace a token, add a second line of the same name, scopes and rate, give the new token to its\n" +
			"caller, and remove the first line. A running service takes a changed file over within some 2 s.",
		Example: "  accountservice token create --name billing --scopes read,write --rate 100/s",
		Args: func(cmd *cobra.Command, args []string) error {
			if name == "" || scopes == "" {
				return errors.New("say who gets it, with --name, and what it is for, with --scopes")
			}
			return noArguments(cmd, args)
		},
		RunE: func(*cobra.Command, []string) error {
			token, line, err := auth.Create(name, scopes, rate)
			if err != nil {
				return &exit{exitUsage, err}
			}
			_, err = fmt.Fprintf(p.stdout, "%s\n%s\n", token, line)
			return err
		},
	}
	create.Flags().StringVar(&name, "name", "", "of the caller: letters, digits, . _ and -")
	create.Flags().StringVar(&scopes, "scopes", "", "some of read, write, admin and health, with commas between")
	create.Flags().StringVar(&rate, "rate", "", "most requests a second, such as 100/s; default: any number")
	return newGroup("token", "Make tokens for auth.mode tokens", create)
}

// service names a running service, and how to be let in.
type service struct{ url, tokenFile string }

func (s *service) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.url, "url", "",
		"of a running service, such as http://localhost:6767; default: the database of the configuration")
	addTokenFile(cmd, &s.tokenFile)
}

func addTokenFile(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "token-file", "",
		"file with the token for the service; default $"+config.TokenVariable+config.FileSuffix+", or the token in $"+
			config.TokenVariable)
}

// newClient returns a client of the service. An error in its address calls it what, as the command line does.
func (p program) newClient(s service, what string) (*client.Client, error) {
	token, err := p.token(s.tokenFile)
	if err != nil {
		return nil, &exit{exitUsage, err}
	}
	c, err := client.New(s.url, token)
	if err != nil {
		return nil, &exit{exitUsage, fmt.Errorf("%s: %w", what, err)}
	}
	return c, nil
}

// wellFormedToken is what a header can carry (RFC 6750, 2.1).
var wellFormedToken = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// token returns the token for a service, or "". Its errors never repeat it.
func (p program) token(file string) (string, error) {
	text, set := p.variable(config.TokenVariable), p.variable(config.TokenVariable+config.FileSuffix)
	if file == "" && text != "" && set != "" {
		return "", fmt.Errorf("%s and %[1]s%s are both set: keep one", config.TokenVariable, config.FileSuffix)
	}
	from := config.TokenVariable
	if file = cmp.Or(file, set); file != "" {
		content, err := readToken(file)
		if err != nil {
			return "", fmt.Errorf("reading the token: %w", err)
		}
		text, from = content, file
	} else if text == "" {
		return "", nil
	}
	if len(text) > 256 || !wellFormedToken.MatchString(text) {
		return "", fmt.Errorf("%s must hold one token: a line of letters, digits and - . _ ~ + /", from)
	}
	return text, nil
}

func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, 4<<10))
	return strings.TrimSpace(strings.TrimPrefix(string(content), "\ufeff")), err
}

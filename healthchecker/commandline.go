package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"accountservice/internal/httpcheck"
)

const usage = `healthchecker asks a service once whether it is healthy.

  -port PORT           ask this port on 127.0.0.1, or ::1 when nothing listens
                       there
  -url URL             ask http://HOST:PORT/PATH, https://HOST:PORT/PATH
                       or unix:///SOCKET:/PATH; any 2xx is healthy
  -component NAME      the answer must be the health JSON of this component
                       (default accountservice; with -url: none, any answer)
  -expect-status LIST  healthy codes, such as 204 or 2xx,401 or 200-299
  -expect-body TEXT    the answer must have this text or, as /status=UP, this
                       value at this JSON Pointer
  -header-file FILE    send the lines of this file, such as
                       Authorization: Bearer abc; they are never printed
  -ca FILE             CA certificates to trust (PEM), instead of those of
                       SSL_CERT_FILE or the system
  -server-name NAME    name that the certificate must have, instead of the URL's
                       host
  -timeout TIME        for everything, up to 1m (default 2s)

Without -port and -url it asks the accountservice that runs in this container,
over a socket of its own (Linux only), and reads no configuration. ${NAME} in an
argument is replaced by the environment variable NAME, which must be set.

Exit code 0: healthy, no output. Exit code 1: all else, with one line that
says why. It follows no redirect and uses no proxy.
`

var flagNames = []string{"port", "url", "component", "expect-status", "expect-body", "header-file", "ca", "server-name",
	"timeout"}

// service is the component that /health names when it is ours.
const service = "accountservice"

// maxLimit is the longest -timeout.
const maxLimit = time.Minute

// command is what a command line asks for.
type command struct {
	to         target
	component  string        // who must answer; empty: anyone
	limit      time.Duration // for everything
	headerFile string        // empty: none
	caFile     string        // empty: the roots of the system
	wanted     func(code int) bool
	expected   func(body []byte) error
	hidden     secrets
}

// parse reads a command line. If that names no service, the target is the socket of the service with this environment.
// parse reads no file. limit is the default of -timeout; the command has it also with an error. The errors repeat no
// argument that may hold a password. flag.ErrHelp means that the usage is wanted.
func parse(limit time.Duration, args, environ []string) (command, error) {
	c := command{limit: limit, hidden: passwords(args)}
	given := args
	args, expanded, err := expand(given, environ)
	if err != nil {
		return c, fmt.Errorf("wrong command line: %w; see -help", err)
	}
	c.hidden = slices.Concat(c.hidden, passwords(args), carried(args, expanded))
	flags := flag.NewFlagSet("healthchecker", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are our one line
	for _, name := range flagNames {
		flags.String(name, "", "")
	}
	err = flags.Parse(args)
	empty := "" // an unset variable in a command line must not switch a check off
	flags.Visit(func(f *flag.Flag) {
		if f.Value.String() == "" {
			empty = f.Name
		}
	})
	switch {
	case errors.Is(err, flag.ErrHelp):
		return c, err
	case err != nil && (strings.ContainsAny(err.Error(), "/@") || !slices.Equal(args, given)):
		return c, errors.New("wrong command line; see -help") // flag repeats the argument, perhaps a URL or a variable
	case err != nil:
	case flags.NArg() > 0:
		err = errors.New("an argument that is no flag")
	case empty != "":
		err = fmt.Errorf("-%s: want a value", empty)
	}
	if err == nil {
		err = c.apply(func(name string) string { return flags.Lookup(name).Value.String() })
	}
	if err != nil {
		return c, fmt.Errorf("wrong command line: %w; see -help", err)
	}
	if c.to.network == "" {
		c.to, err = ownSocket(environ)
	}
	return c, err
}

// apply checks the values of the flags and takes them over. The value of a flag that is not set is empty.
func (c *command) apply(value func(flag string) string) (err error) {
	switch port, url := value("port"), value("url"); {
	case port != "" && url != "":
		return errors.New("only one of -port and -url")
	case url != "":
		c.to, err = fromURL(url)
	case port != "":
		c.to, err = healthAt(port)
	}
	if err != nil {
		return err
	}
	c.component, c.headerFile, c.caFile = value("component"), value("header-file"), value("ca")
	if value("url") == "" {
		c.component = cmp.Or(c.component, service)
	}
	if (c.caFile != "" || value("server-name") != "") && c.to.serverName == "" {
		return errors.New("-ca and -server-name are for a -url with https://")
	}
	c.to.serverName = cmp.Or(value("server-name"), c.to.serverName)
	c.expected = httpcheck.Body("-expect-body", value("expect-body"))
	if c.wanted = httpcheck.Status(cmp.Or(value("expect-status"), "2xx")); c.wanted == nil {
		return errors.New("-expect-status: want codes from 200 to 599, such as 204 or 2xx,401 or 200-299")
	}
	if text := value("timeout"); text != "" {
		limit, err := time.ParseDuration(text)
		if err != nil || limit <= 0 || limit > maxLimit {
			return errors.New("-timeout: want a time such as 5s or 500ms, up to 1m")
		}
		c.limit = limit
	}
	return nil
}

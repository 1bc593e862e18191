package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const usage = `healthchecker asks a service once whether it is healthy.

  -port PORT       ask this port on 127.0.0.1, or ::1 when nothing listens there
  -url URL         ask http://HOST:PORT/PATH, https://HOST:PORT/PATH
                   or unix:///SOCKET:/PATH; any 2xx is healthy
  -component NAME  the answer must be the health JSON of this component
                   (default accountservice; with -url: none, any answer will do)

Without -port and -url it asks the accountservice that runs in this container,
by a socket of its own, which only Linux has. It reads no configuration.

Exit code 0: healthy, no output. Exit code 1: all else, with one line that
says why. It takes at most two seconds, follows no redirect and uses no proxy.
`

// service is the component that /health names when it is ours.
const service = "accountservice"

type options struct {
	port      string // empty: not given
	url       string // empty: not given
	component string // empty: any
}

// parse reads the command line. Its errors repeat no argument that may hold a
// password. flag.ErrHelp means that the usage is wanted.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("healthchecker", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are our one line
	flags.Func("port", "", func(value string) error {
		o.port = value
		return checkPort(value)
	})
	flags.Func("url", "", nonEmpty(&o.url))
	flags.Func("component", "", nonEmpty(&o.component))

	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return options{}, err
	case err != nil && strings.ContainsAny(err.Error(), "/@"):
		return options{}, errors.New("wrong command line; see -help") // flag repeats the argument, perhaps a URL
	case err != nil:
		return options{}, fmt.Errorf("wrong command line: %w; see -help", err)
	case flags.NArg() > 0:
		return options{}, errors.New("wrong command line: an argument that is no flag; see -help")
	}

	if o.port != "" && o.url != "" {
		return options{}, errors.New("wrong command line: only one of -port and -url; see -help")
	}
	if o.component == "" && o.url == "" {
		o.component = service
	}
	return o, nil
}

func checkPort(text string) error {
	if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 {
		return errors.New("want a number from 1 to 65535")
	}
	return nil
}

// nonEmpty refuses an empty value: an unset variable in a command line must not switch a check off.
func nonEmpty(to *string) func(string) error {
	return func(value string) error {
		if value == "" {
			return errors.New("want a value")
		}
		*to = value
		return nil
	}
}

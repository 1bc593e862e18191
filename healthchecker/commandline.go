package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
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

// parse returns what the command line names or, without that, where the service with this environment answers. Its
// errors repeat no argument that may hold a password. flag.ErrHelp means that the usage is wanted.
func parse(args, environ []string) (to target, err error) {
	flags := flag.NewFlagSet("healthchecker", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are our one line
	port, url := flags.String("port", "", ""), flags.String("url", "", "")
	component := flags.String("component", "", "") // empty: any
	err = flags.Parse(args)
	empty := "" // an unset variable in a command line must not switch a check off
	flags.Visit(func(f *flag.Flag) {
		if f.Value.String() == "" {
			empty = f.Name
		}
	})
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil && strings.ContainsAny(err.Error(), "/@"):
		err = errors.New("wrong command line; see -help") // flag repeats the argument, perhaps a URL
	case err != nil:
		err = fmt.Errorf("wrong command line: %w; see -help", err)
	case flags.NArg() > 0:
		err = errors.New("wrong command line: an argument that is no flag; see -help")
	case empty != "":
		err = fmt.Errorf("wrong command line: -%s: want a value; see -help", empty)
	case *port != "" && *url != "":
		err = errors.New("wrong command line: only one of -port and -url; see -help")
	case *url != "":
		to, err = fromURL(*url)
	case *port != "":
		to, err = healthAt(*port)
	default:
		to, err = ownSocket(environ)
	}
	if *component == "" && *url == "" {
		*component = service
	}
	to.component = *component
	return to, err
}

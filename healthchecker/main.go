// Command healthchecker is the probe for Docker's HEALTHCHECK: it asks a
// service once whether it is healthy and says so by its exit code. The usage in commandline.go says how it is called.
//
// The exit code is 0 (healthy) or 1 (anything else), never 2, which Docker reserves. A healthy service costs no output;
// otherwise stdout gets one line of at most 1 KiB, which `docker inspect` shows. Everything together may take -timeout,
// two seconds by default, so the timeout of HEALTHCHECK must be longer. It is static and needs neither a shell nor
// accountservice, so other images can copy it.
//
// It knows HTTP/1.1 and the form of /health, and nothing of the checks behind it. It reads no configuration: what is
// edited after the start of the service must not change the verdict on it.
package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"accountservice/internal/httpcheck"
)

// limit is the default of -timeout, the time for everything: names, connection, TLS and
// the whole answer. Docker kills a slower probe and logs no reason.
const limit = 2 * time.Second

func main() {
	var c command
	err := recovered(func() (err error) { c, err = parse(limit, os.Args[1:], os.Environ()); return err })
	disarm := guard(cmp.Or(c.limit, limit), os.Stdout)
	text := c.run(err)
	disarm()
	if text != "" {
		end(os.Stdout, text)
	}
}

// run asks once, unless err, the error of parse, is not nil. It returns "" if the service is healthy, else the probe's
// output.
func (c *command) run(err error) string {
	if err == nil {
		err = recovered(c.probe)
	}
	switch l, isLate := errors.AsType[late](err); {
	case err == nil:
		return ""
	case errors.Is(err, flag.ErrHelp):
		return usage // exit 1 all the same: no service was found healthy
	case isLate:
		err = fmt.Errorf("%s within %v", l.what, c.limit)
	}
	return c.hidden.line(err.Error())
}

// probe asks once; nil means healthy.
func (c *command) probe() error {
	deadline := time.Now().Add(c.limit)
	if err := c.readFiles(); err != nil {
		return err
	}
	got, err := ask(c.to, deadline)
	if err != nil {
		return err
	}
	return c.judge(got)
}

func (c *command) readFiles() (err error) {
	if c.headerFile != "" {
		if c.to.fields, err = httpcheck.ReadFields(c.headerFile); err != nil {
			return fmt.Errorf("-header-file: %w", err)
		}
		c.hidden = append(c.hidden, valuesOf(c.to.fields)...)
	}
	if c.caFile != "" {
		content, err := os.ReadFile(c.caFile)
		if err != nil {
			return fmt.Errorf("-ca: %w", httpcheck.Unreadable(err))
		}
		c.to.roots = x509.NewCertPool()
		if !c.to.roots.AppendCertsFromPEM(content) {
			return errors.New("-ca: the file has no certificate in PEM")
		}
	}
	return nil
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"accountservice/internal/checks"
	"accountservice/internal/client"
	"accountservice/internal/excerpt"
	"accountservice/internal/probesocket"
)

// answerTimeout bounds a question to a running service.
const answerTimeout = 5 * time.Second

func newStatusCommand(p program) *cobra.Command {
	var tokenFile string
	var raw bool
	cmd := &cobra.Command{
		Use: "status [URL]", Short: "Show the health of a running service; exit 0 if it is healthy, else 1",
		Long: "Shows what /health says of the service at URL, such as http://localhost:6767, or without URL of the service\n" +
			"in this container, which it asks as the probe does: docker exec CONTAINER /accountservice status.\n\n" +
			"Exit codes: 0 healthy; 1 not healthy, or no answer; 2 usage. Colours are for a terminal without NO_COLOR.",
		Args: atMostURL,
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := p.healthClient(args, tokenFile)
			if err == nil {
				err = p.status(cmd.Context(), from, raw)
			}
			if len(args) == 0 && errors.Is(err, syscall.ECONNREFUSED) {
				return errNoneHere
			}
			return err
		},
	}
	addTokenFile(cmd, &tokenFile)
	cmd.Flags().BoolVar(&raw, "json", false, "print the JSON of /health")
	return cmd
}

var errNoneHere = errors.New("no accountservice answers here: run this in its container, with the " +
	"ACCOUNTSERVICE_CONFIG, _HTTP_HOST and _HTTP_PORT that it has, or give its URL")

// atMostURL wants no argument or the address of a service.
func atMostURL(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("name one URL, and nothing else: %s", cmd.UseLine())
	}
	return nil
}

// healthClient returns a client of the service at the URL in args, or without one of the service in this container.
func (p program) healthClient(args []string, tokenFile string) (*client.Client, error) {
	if len(args) == 1 {
		return p.newClient(service{args[0], tokenFile}, "URL")
	}
	name, err := probesocket.Name(p.environ)
	if err != nil {
		return nil, fmt.Errorf("the socket of the service can't be found without /proc: give its URL: %w", err)
	}
	return client.AtSocket(name), nil
}

func (p program) status(ctx context.Context, from *client.Client, raw bool) error {
	ctx, cancel := client.Within(ctx, answerTimeout)
	defer cancel()
	code, body, err := from.Health(ctx)
	if err != nil {
		return err
	}
	var health checks.HealthDocument
	if json.Unmarshal(body, &health) != nil || health.Component.Name != component().Name {
		return fmt.Errorf("the answer, of status %d, is not the health of an %s: give the address of its http.port, such as "+
			"http://localhost:6767", code, component().Name)
	}
	out := &escaped{w: p.stdout}
	if raw {
		var text bytes.Buffer
		json.Indent(&text, body, "", "  ") // it is JSON
		_, err = text.WriteTo(out)
	} else {
		err = writeHealth(p.stdout, health, p.colours())
	}
	if healthy := code == 200 && slices.Contains([]string{"OK", "Partially Available"}, health.Status); err == nil && !healthy {
		return &exit{code: exitFailed}
	}
	return err
}

// colours is true for a terminal whose user does not refuse them (no-color.org).
func (p program) colours() bool {
	return isTerminal(p.stdout) && p.variable("NO_COLOR") == "" && p.variable("TERM") != "dumb"
}

// Colours of a terminal. They are equally long, so that columns stay aligned.
const (
	plain  = "\x1b[39m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
)

// writeHealth writes a line about the service and a table of its checks, those first that fail.
func writeHealth(w io.Writer, health checks.HealthDocument, colours bool) error {
	paint := func(colour, text string) string {
		if colours {
			return colour + text + plain
		}
		return text
	}
	ready := paint(green, "ready")
	if !health.Ready {
		ready = paint(red, "not ready")
	}
	overall := cmp.Or(map[string]string{"OK": green, "Partially Available": yellow}[health.Status], red)
	fmt.Fprintf(w, "%s %s: %s, %s\n", excerpt.Line(health.Component.Name), excerpt.Line(health.Component.Version),
		paint(overall, excerpt.Line(health.Status)), ready)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(health.Checks) > 0 {
		fmt.Fprintf(table, "CHECK\t%s\tFAILURE MEANS\tSINCE\tLAST RUN\t\n", paint(plain, "STATUS"))
	}
	for _, name := range failingFirst(health.Checks) {
		c := health.Checks[name]
		colour := cmp.Or(map[checks.Status]string{checks.OK: green, checks.Starting: yellow}[c.Status], red)
		words := excerpt.Line(c.Error)
		if c.Warning != "" {
			words += " warning: " + excerpt.Line(c.Warning)
			if colour == green {
				colour = yellow
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.3f ms\t%s\n", excerpt.Line(name), paint(colour, excerpt.Line(string(c.Status))),
			excerpt.Line(string(c.OnFailure)), health.Timestamp.Sub(c.Since.Time).Round(time.Second), c.LatencyMS,
			strings.TrimSpace(words))
	}
	err := table.Flush()
	for _, name := range slices.Sorted(maps.Keys(health.Failures)) {
		if _, is := health.Checks[name]; !is { // an order, or that nothing is known
			_, err = fmt.Fprintf(w, "%s: %s\n", excerpt.Line(name), excerpt.Line(health.Failures[name]))
		}
	}
	return err
}

// failingFirst returns the names of the checks in the order of the table.
func failingFirst(list map[string]checks.CheckState) []string {
	healthy := func(name string) int {
		if list[name].Status == checks.OK {
			return 1
		}
		return 0
	}
	return slices.SortedFunc(maps.Keys(list), func(a, b string) int {
		return cmp.Or(healthy(a)-healthy(b), cmp.Compare(a, b))
	})
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"accountservice/config"
	"accountservice/internal/client"
	"accountservice/internal/excerpt"
	"accountservice/internal/store/transfer"
)

func newMaintenanceCommand(p program) *cobra.Command {
	var at maintained
	var order struct {
		Reason string `json:"reason"`
		TTL    string `json:"ttl"`
	}
	ask := func(method string, body any) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			return p.maintain(cmd.Context(), at, args, method, body)
		}
	}
	on := &cobra.Command{Use: "on [URL] --reason REASON", RunE: ask(http.MethodPut, &order),
		Short: "Have /ready answer 503; /health stays as it is",
		Args: func(cmd *cobra.Command, args []string) error {
			if order.Reason == "" {
				return errors.New("say why, with --reason")
			}
			return atMostURL(cmd, args)
		}}
	on.Flags().StringVar(&order.Reason, "reason", "", "shown by /ready; 1 to 200 characters")
	on.Flags().StringVar(&order.TTL, "ttl", "1h", "when it ends by itself, such as 90s, 10m or 2h; at most 24h")
	off := &cobra.Command{Use: "off [URL]", Args: atMostURL, RunE: ask(http.MethodDelete, nil),
		Short: "Let the traffic come back"}
	show := &cobra.Command{Use: "show [URL]", Args: atMostURL, RunE: ask(http.MethodGet, nil),
		Short: "Say whether the traffic is sent away"}
	group := newGroup("maintenance", "Send the traffic of a running service away for a while", on, off, show)
	group.Long = "Asks the operators' listener at URL, such as http://localhost:6768, or without URL the one of the\n" +
		"configuration: docker exec CONTAINER /accountservice maintenance on --reason \"a new disk\".\n\n" +
		"Exit codes: 0 done; 1 failed; 2 configuration or usage."
	for _, cmd := range group.Commands() {
		addTokenFile(cmd, &at.tokenFile)
		cmd.Flags().BoolVar(&at.json, "json", false, "print the answer in JSON")
	}
	return group
}

// maintained is how a maintenance is asked for, and shown.
type maintained struct {
	tokenFile string
	json      bool
}

// maintain makes one request for the maintenance and shows the answer.
func (p program) maintain(ctx context.Context, at maintained, args []string, method string, order any) error {
	url := ""
	if len(args) == 1 {
		url = args[0]
	} else if cfg, err := p.load(); err != nil {
		return err
	} else if url, err = adminURL(cfg.Admin); err != nil {
		return &exit{exitUsage, err}
	}
	to, err := p.newClient(service{url, at.tokenFile}, "URL")
	if err != nil {
		return err
	}
	ctx, cancel := client.Within(ctx, answerTimeout)
	defer cancel()
	body, err := to.Maintenance(ctx, method, order)
	if rejected, is := errors.AsType[*transfer.Rejected](err); is {
		for _, f := range rejected.Faults {
			fmt.Fprintf(p.stderr, "%s: %s\n", f.Pointer, f.Detail)
		}
	}
	if err != nil && ctx.Err() != nil && method != http.MethodGet {
		err = fmt.Errorf("%w; it may carry out the order later: ask it by maintenance show", err)
	}
	if err != nil {
		return err
	}
	var state struct {
		Active bool       `json:"active"`
		Reason string     `json:"reason,omitempty"`
		Since  *time.Time `json:"since,omitempty"`
		Until  *time.Time `json:"until,omitempty"`
	}
	if len(body) > 0 || method != http.MethodDelete {
		if err := json.Unmarshal(body, &state); err != nil {
			return fmt.Errorf("the answer is not of /maintenance: %w", err)
		}
	}
	switch out := (&escaped{w: p.stdout}); {
	case at.json:
		err = json.NewEncoder(out).Encode(state)
	case state.Active && state.Until != nil:
		_, err = fmt.Fprintf(out, "in maintenance until %s: %s\n", state.Until.UTC().Format(time.RFC3339), excerpt.Line(state.Reason))
	default:
		_, err = fmt.Fprintln(out, "not in maintenance")
	}
	return err
}

// adminURL is where a process of the same container reaches the operators' listener.
func adminURL(cfg config.Admin) (string, error) {
	host, port, _ := net.SplitHostPort(cfg.Addr)
	switch ip, _ := netip.ParseAddr(host); {
	case cfg.Off():
		return "", errors.New("admin.addr is off: there is no listener to ask")
	case port == "0":
		return "", errors.New("admin.addr has port 0: give the URL, whose port the log of the service tells")
	case host == "", ip == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case ip == netip.IPv6Unspecified():
		host = "::1"
	}
	return (&url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}).String(), nil // a zone of IPv6 is escaped
}

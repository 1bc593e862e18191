package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

const (
	// MaxBatch is how many accounts one request should have: the service stores them in one transaction.
	MaxBatch = 1000

	// requestTimeout bounds one request, its answer included.
	requestTimeout = time.Minute
)

// Importer stores accounts through a service. It is a transfer.Target.
type Importer struct {
	Client *Client
	DryRun bool // the service counts what it would do, and changes nothing
	Retry
}

var _ transfer.Target = Importer{}

// Import implements transfer.Target. The accounts are one request, which is sent again while the service is busy or
// cannot be reached.
func (i Importer) Import(ctx context.Context, accounts []store.Account) (store.Imported, error) {
	lines, err := transfer.Encode(accounts)
	if err != nil {
		return store.Imported{}, err
	}
	var n store.Imported
	unknown := false // whether an earlier try may have stored the accounts
	failed := i.until(func() (failed *failure) {
		if n, failed = i.try(ctx, lines, len(accounts)); failed != nil {
			unknown = unknown || failed.unknown
			failed.unknown = unknown
		}
		return failed
	})
	if failed != nil {
		return n, failed
	}
	return n, nil
}

// try sends the lines of so many accounts once.
func (i Importer) try(ctx context.Context, lines []byte, accounts int) (store.Imported, *failure) {
	target := i.Client.base.JoinPath("accounts:import")
	if i.DryRun {
		target.RawQuery = "dry_run=true"
	}
	ctx, cancel := Within(ctx, requestTimeout)
	defer cancel()
	connected := false // before that, nothing is sent
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	resp, failed := i.Client.send(ctx, http.MethodPost, target, linesType, lines)
	if failed != nil {
		never := distrusted(failed.err)
		failed.unknown, failed.again = connected && !never, !never
		return store.Imported{}, failed
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return store.Imported{}, refusal(resp)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return store.Imported{}, &failure{err: fmt.Errorf("reading the answer: %w", err), unknown: true, again: true}
	}
	var n store.Imported
	if err := json.Unmarshal(answer, &n); err != nil || n.Created+n.Replaced+n.Unchanged != accounts {
		err := fmt.Errorf("%s: the answer is not of accounts:import: it does not count the %d accounts that were sent",
			resp.Request.URL.Redacted(), accounts)
		return store.Imported{}, &failure{err: err, unknown: true}
	}
	return n, nil
}

// Package handlers owns the HTTP interface: routes, operations and their
// OpenAPI document, and the words of every failure. It knows the store contract
// and published health reports, nothing of databases, probes or configuration.
package handlers

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Options are what New needs.
type Options struct {
	Live    *Live
	Version string // of the service, for the OpenAPI document
	MaxBody int64  // bytes; a longer request body is 413
	Log     *slog.Logger
	Metrics *Metrics // may be nil

	// MaxConcurrent bounds the requests for accounts under way; more are 503. 0
	// is DefaultMaxConcurrent.
	MaxConcurrent int
	// RequirePreconditions refuses PUT, PATCH and DELETE without If-Match, or
	// If-None-Match: * to create.
	RequirePreconditions bool
	// Stopping, if not nil, ends when the service is told to stop: an import
	// under way ends at its next batch then.
	Stopping context.Context
}

// DefaultMaxConcurrent is the MaxConcurrent of Options that have none.
const DefaultMaxConcurrent = 128

// maxLists run, maxWaiting wait up to listWait, the rest get 503, so that lists
// cannot use up all places of requests. A list is up to 8 MiB of records, and the
// same again as JSON, until the client has it.
const (
	maxLists   = 8
	maxWaiting = 2 * maxLists
	listWait   = time.Second
)

// maxStreams bounds imports and exports: each holds a batch in memory.
const maxStreams = 4

// New returns the routes for everybody: accounts, health and the document.
func New(o Options) http.Handler {
	log := newFailureLog(o.Log)
	engine := newEngine(log.Logger, o.Metrics.observe)
	api := newAPI(engine, o.Version)
	e := &edge{
		api:      api,
		log:      log,
		maxBody:  o.MaxBody,
		requests: newGate(cmp.Or(o.MaxConcurrent, DefaultMaxConcurrent), 0, 0, errBusy),
		lists:    newGate(maxLists, maxWaiting, listWait, errBusy),
		streams:  newGate(maxStreams, 0, 0, errStreams),
	}
	describeAccounts(api.OpenAPI().Components.Schemas)
	registerReads(e, accounts{o.Live, o.RequirePreconditions})
	registerWrites(e, accounts{o.Live, o.RequirePreconditions})
	registerBulk(e, bulk{o.Live, log, cmp.Or(o.Stopping, context.Background())})
	registerHealth(e, o.Live)
	return publish(engine, api)
}

// Package handlers owns the HTTP interface: routes, operations and their OpenAPI document, and the words of every
// failure. It knows the store contract and published health reports, nothing of databases, probes or configuration.
package handlers

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"time"
)

// Options are what New needs.
type Options struct {
	Live    *Live
	Version string // of the service, for the OpenAPI document
	MaxBody int64  // bytes; a longer request body is 413
	Log     *slog.Logger
	Metrics *Metrics // may be nil

	// MaxConcurrent bounds the requests for accounts under way; more wait for up
	// to a second and are 503 then. 0 is DefaultMaxConcurrent.
	MaxConcurrent int
	// RequirePreconditions refuses PUT, PATCH and DELETE without If-Match, or If-None-Match: * to create.
	RequirePreconditions bool
	// Stopping, if not nil, ends when the service is told to stop: an import under way ends at its next batch then.
	Stopping context.Context
}

// DefaultMaxConcurrent is the MaxConcurrent of Options that have none.
const DefaultMaxConcurrent = 128

const (
	// placeWait is how long a request waits for a place.
	placeWait = time.Second
	// listWait is how long a list waits for its place: the list before it may have little CPU.
	listWait = 3 * time.Second
	// maxStreams bounds imports, and exports: each holds a batch in memory.
	maxStreams = 2
)

// New returns the routes for everybody: accounts, health and the document.
func New(o Options) http.Handler {
	log := newFailureLog(o.Log)
	engine := newEngine(log.Logger, o.Metrics.observe)
	api := newAPI(engine, o.Version)
	e := &edge{
		api:      api,
		log:      log,
		maxBody:  o.MaxBody,
		requests: newGate(cmp.Or(o.MaxConcurrent, DefaultMaxConcurrent), placeWait, errBusy),
		// lists read up to 10,000 accounts each, and leave one CPU to the others
		lists:   newGate(max(1, runtime.GOMAXPROCS(0)/2), listWait, errBusy),
		imports: newGate(maxStreams, placeWait, errStreams),
		exports: newGate(maxStreams, placeWait, errStreams),
	}
	describeAccounts(api.OpenAPI().Components.Schemas)
	registerReads(e, accounts{o.Live, o.RequirePreconditions})
	registerWrites(e, accounts{o.Live, o.RequirePreconditions})
	registerBulk(e, bulk{o.Live, log, cmp.Or(o.Stopping, context.Background())})
	registerHealth(e, o.Live)
	return publish(engine, api)
}

// Package handlers owns the HTTP interface: routes, operations and their OpenAPI document, and the words of every
// failure. It knows the store contract and published health reports, nothing of databases, probes or configuration.
package handlers

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"time"

	"github.com/gin-gonic/gin"

	"accountservice/internal/auth"
)

// Options are what New needs.
type Options struct {
	Live    *Live
	Version string // of the service, for the OpenAPI document
	MaxBody int64  // bytes; a longer request body is 413
	Log     *slog.Logger
	Metrics *Metrics
	Hosts   []string // names that a Host may have; none: any

	// Tokens, if not nil, are asked for: all operations on accounts need one.
	Tokens *auth.Tokens
	// ShowReasons gives everybody the reasons in health answers. Without it, and with Tokens, they need the scope health.
	ShowReasons bool

	// MaxConcurrent bounds the requests for accounts under way; more wait for up to a second and are 503 then.
	MaxConcurrent int
	// Hold is how long requests for accounts, MaxConcurrent at most, wait for Live.Serve; 0: not at all.
	Hold time.Duration
	// RequirePreconditions refuses PUT, PATCH and DELETE without If-Match, or If-None-Match: * to create.
	RequirePreconditions bool
	// StatusPage serves /status, a page about the health for people.
	StatusPage bool
	// Stopping ends when the service is told to stop: an import under way ends at its next batch then.
	Stopping context.Context
}

const (
	// placeWait is how long a request waits for a place.
	placeWait = time.Second
	// listWait is how long a list waits for its place: the list before it may have little CPU.
	listWait = 3 * time.Second
	// costlySoon is about how long lists, and requests with large bodies, wait in an overload before they are refused.
	// Those with a place take several times as long on a busy CPU.
	costlySoon = 5 * time.Millisecond
	// maxStreams bounds imports, and exports: each holds a batch in memory.
	maxStreams = 2
)

// New returns the routes for everybody: accounts, health and the document.
func New(o Options) http.Handler {
	log := newFailureLog(o.Log)
	engine := newEngine(log.Logger, o.Metrics.observe)
	if len(o.Hosts) > 0 {
		engine.Use(onlyHosts(o.Hosts))
	}
	api := newAPI(engine, o.Version)
	e := &edge{
		api:      api,
		log:      log,
		maxBody:  o.MaxBody,
		guard:    newGuard(o.Tokens, o.ShowReasons),
		hold:     newHold(o.Live, o.Hold, o.MaxConcurrent),
		requests: newGate(o.MaxConcurrent, placeWait, placeWait, errBusy),
		// lists read up to 10,000 accounts each, and leave one CPU to the others
		lists:   newGate(max(1, runtime.GOMAXPROCS(0)/2), listWait, costlySoon, errBusy),
		bodies:  newGate(placesForBodies*runtime.GOMAXPROCS(0), placeWait, costlySoon, errBusy),
		writes:  newGate(placesForWrites*runtime.GOMAXPROCS(0), placeWait, placeWait, errBusy),
		imports: newGate(maxStreams, placeWait, placeWait, errStreams),
		exports: newGate(maxStreams, placeWait, placeWait, errStreams),
	}
	e.guard.describe(api)
	maps.Copy(o.Metrics.places, places{"request": e.requests, "list": e.lists, "large body": e.bodies, "large write": e.writes,
		"import": e.imports, "export": e.exports})
	describeAccounts(api.OpenAPI().Components.Schemas)
	a := accounts{o.Live, o.RequirePreconditions, newAnswerBudget(time.Now)}
	registerReads(e, a)
	registerWrites(e, a)
	registerBulk(e, bulk{o.Live, log, o.Stopping})
	registerHealth(e, o.Live)
	if o.StatusPage {
		engine.GET("/status", gin.WrapH(statusHandler(o.Live, e.guard)))
	}
	return publish(engine, api)
}

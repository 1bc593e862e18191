package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/checks"
)

// healthDocument is the published answer, for the OpenAPI document: checks
// writes the bytes.
type healthDocument struct {
	Status    string            `json:"status" enum:"OK,Partially Available,Unavailable"`
	Timestamp time.Time         `json:"timestamp" doc:"When this answer was made"`
	Failures  map[string]string `json:"failures,omitempty" doc:"Failing checks and why"`
	Component struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"component" nameHint:"HealthComponent"`
	Ready  bool                     `json:"ready" doc:"What /ready answers"`
	Checks map[string]checkDocument `json:"checks,omitempty"`
}

type checkDocument struct {
	Status              checks.Status      `json:"status" enum:"starting,ok,failing"`
	OnFailure           checks.Consequence `json:"on_failure" enum:"restart,unroute,degrade"`
	LatencyMS           float64            `json:"latency_ms" doc:"Of the last run"`
	LastSuccess         *time.Time         `json:"last_success,omitempty"`
	ConsecutiveFailures int                `json:"consecutive_failures"`
	Since               time.Time          `json:"since" doc:"When the status began"`
	Interval            string             `json:"interval"`
	Timeout             string             `json:"timeout"`
	Error               string             `json:"error,omitempty" doc:"Of the last run; below the threshold the status is still ok"`
}

// published is bytes that were made before the request came.
type published struct {
	Status       int
	ContentType  string `header:"Content-Type"`
	CacheControl string `header:"Cache-Control"`
	RetryAfter   string `header:"Retry-After"`
	Body         []byte
}

func newPublished(status int, body []byte) *published {
	p := &published{Status: status, ContentType: "application/json", CacheControl: "no-store", Body: body}
	if status == http.StatusServiceUnavailable {
		p.RetryAfter = "1"
	}
	return p
}

// registerHealth describes the operations on health. They only load what was
// published, and answer JSON whatever the client accepts: a probe must never
// be told 406.
func (a API) registerHealth(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "get-health", Method: http.MethodGet, Path: "/health", Tags: []string{"health"},
		Summary:     "Should this container live? For the orchestrator",
		Description: "503 means that this container can't do its work and a new one could.",
		Responses:   either[healthDocument](api), Errors: []int{500},
	}, func(context.Context, *struct{}) (*published, error) {
		r := a.Health.Report()
		return newPublished(r.HealthStatus, r.Body), nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "get-ready", Method: http.MethodGet, Path: "/ready", Tags: []string{"health"},
		Summary:     "Should it get traffic? For load balancers",
		Description: "503 means that it should get no traffic now: starting, draining, or without something it needs.",
		Responses:   either[healthDocument](api), Errors: []int{500},
	}, func(context.Context, *struct{}) (*published, error) {
		r := a.Health.Report()
		return newPublished(r.ReadyStatus, r.Body), nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "get-health-check", Method: http.MethodGet, Path: "/health/checks/{name}", Tags: []string{"health"},
		Summary: "One check", Description: "503 while it fails, whatever that means for the container.",
		Responses: either[checkDocument](api), Errors: []int{404, 500},
	}, func(_ context.Context, in *struct {
		Name string `path:"name" maxLength:"64" example:"bolt"`
	}) (*published, error) {
		report := a.Health.Report()
		check, ok := report.Checks[in.Name]
		if !ok && len(report.Checks) == 0 { // starting, or stale
			return newPublished(report.HealthStatus, report.Body), nil
		}
		if !ok {
			return nil, problem(http.StatusNotFound, "There is no check of this name; /health lists them.")
		}
		return newPublished(check.Status, check.Body), nil
	})
}

// either is a T for 200 and for 503.
func either[T any](api huma.API) map[string]*huma.Response {
	return map[string]*huma.Response{
		"200": {Description: "Healthy", Content: jsonOf[T](api)},
		"503": {Description: "Not healthy", Content: jsonOf[T](api)},
	}
}

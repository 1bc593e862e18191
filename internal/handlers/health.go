package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
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
	Checks map[string]CheckDocument `json:"checks,omitempty"`
}

// CheckDocument is one check among the others. It is exported because huma
// looks into an embedded struct only then.
type CheckDocument struct {
	Status              checks.Status      `json:"status" enum:"starting,ok,failing"`
	OnFailure           checks.Consequence `json:"on_failure" enum:"restart,unroute,degrade"`
	LatencyMS           float64            `json:"latency_ms" doc:"Of the last run"`
	LastSuccess         *time.Time         `json:"last_success,omitempty"`
	ConsecutiveFailures int                `json:"consecutive_failures"`
	Since               time.Time          `json:"since" doc:"When the status began"`
	Interval            string             `json:"interval"`
	Timeout             string             `json:"timeout"`
	Error               string             `json:"error,omitempty" doc:"Of the last run; below the threshold the status is still ok"`
	Warning             string             `json:"warning,omitempty" doc:"Of the last run that passed and had something to say"`
}

// checkHistoryDocument is one check by itself.
type checkHistoryDocument struct {
	CheckDocument
	LastFailure *failureDocument `json:"last_failure,omitempty" doc:"Kept after recovery"`
	Changes     []changeDocument `json:"changes" maxItems:"20" doc:"The last 20, newest first"`
}

type failureDocument struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"`
}

type changeDocument struct {
	At       time.Time     `json:"at"`
	From     checks.Status `json:"from"`
	To       checks.Status `json:"to"`
	Failures int           `json:"failures" doc:"Runs that failed before it turned"`
	Lasted   string        `json:"lasted" doc:"How long it was what it turned from"`
	Error    string        `json:"error,omitempty" doc:"Why it fails, or why it did"`
}

// healthJSONDocument is the draft's object.
type healthJSONDocument struct {
	Status      string                           `json:"status" enum:"pass,warn,fail"`
	Version     string                           `json:"version,omitempty"`
	Description string                           `json:"description,omitempty"`
	Output      string                           `json:"output,omitempty"`
	Checks      map[string][]measurementDocument `json:"checks"`
}

type measurementDocument struct {
	ComponentType string     `json:"componentType"`
	ObservedValue *float64   `json:"observedValue,omitempty" doc:"Latency of the last run"`
	ObservedUnit  string     `json:"observedUnit,omitempty"`
	Status        string     `json:"status" enum:"pass,warn,fail"`
	Time          *time.Time `json:"time,omitempty"`
	Output        string     `json:"output,omitempty"`
}

// published is bytes that were made before the request came.
type published struct {
	Status       int
	ContentType  string `header:"Content-Type"`
	CacheControl string `header:"Cache-Control"`
	Vary         string `header:"Vary"`
	RetryAfter   string `header:"Retry-After"`
	Body         []byte
}

// asked is what a request for health wants: a form, and what the verdict is to
// be about. Unknown parameters are harmless and ignored: what a probe or a cache
// buster adds must not turn a healthy service.
type asked struct {
	form        checks.Form
	contentType string
	strict      bool
	exclude     []string
	malformed   bool
}

// Resolve implements huma.Resolver. It reads the query itself, because ?strict
// needs no value.
func (a *asked) Resolve(ctx huma.Context) []error {
	a.form, a.contentType = healthForm(ctx.Header("Accept"))
	target := ctx.URL()
	if target.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(target.RawQuery)
	a.malformed = err != nil
	a.strict = query.Has("strict") && query.Get("strict") != "false" && query.Get("strict") != "0"
	for _, list := range query["exclude"] {
		for name := range strings.SplitSeq(list, ",") {
			if name != "" {
				a.exclude = append(a.exclude, name)
			}
		}
	}
	return nil
}

// answer is r in the form that was asked for.
func (a *asked) answer(r checks.Answer) *published {
	p := &published{Status: r.Status, ContentType: a.contentType, CacheControl: "no-store", Vary: "Accept", Body: r.Body}
	if r.Status == http.StatusServiceUnavailable {
		p.RetryAfter = "1"
	}
	return p
}

var (
	strictParameter = &huma.Param{Name: "strict", In: "query", AllowEmptyValue: true, Schema: &huma.Schema{Type: huma.TypeString},
		Description: "503 for any failing check, whatever it means; not for draining and maintenance on /health. Present is enough; false and 0 are no."}
	excludeParameter = &huma.Param{Name: "exclude", In: "query", Schema: &huma.Schema{Type: huma.TypeString}, Example: "users",
		Description: "Checks to leave out of the verdict, with commas between or the parameter repeated; also drain and maintenance."}
)

// registerHealth describes the operations on health. They only load what was
// published, in the form that is liked best; a probe is never told 406.
func registerHealth(e *edge, health Health) {
	register(e, operation{
		id: "get-health", method: http.MethodGet, path: "/health", scope: scopeHealth,
		summary:     "Should this container live? For the orchestrator",
		description: "503 means that this container can't do its work and a new one could. Other parameters are ignored, exclude too.",
		query:       []*huma.Param{strictParameter},
		answers:     either[healthDocument](e.api), errors: []int{500},
	}, func(_ context.Context, in *asked) (*published, error) {
		return in.answer(health.Report().Health(in.form, in.strict)), nil
	})
	register(e, operation{
		id: "get-ready", method: http.MethodGet, path: "/ready", scope: scopeHealth,
		summary: "Should it get traffic? For load balancers",
		description: "503 means that it should get no traffic now: starting, draining, in maintenance, or without something it needs. " +
			"An excluded name that no check has is 422; other parameters are ignored.",
		query:   []*huma.Param{strictParameter, excludeParameter},
		answers: either[healthDocument](e.api), errors: []int{400, 422, 500},
	}, func(_ context.Context, in *asked) (*published, error) {
		if in.malformed { // it may have held an exclude
			return nil, problem(http.StatusBadRequest, "The query of the URL is malformed.")
		}
		answer, err := health.Report().Ready(in.form, in.strict, in.exclude)
		if errors.Is(err, checks.ErrUnknownCheck) {
			return nil, unprocessable(InvalidField{Parameter: "exclude", Detail: "There is no check of this name; /health lists them."})
		}
		return in.answer(answer), err
	})
	register(e, operation{
		id: "get-health-check", method: http.MethodGet, path: "/health/checks/{name}", scope: scopeHealth,
		summary: "One check", description: "503 while it fails, whatever that means for the container.",
		answers: either[checkHistoryDocument](e.api), errors: []int{404, 500},
	}, func(_ context.Context, in *struct {
		asked
		Name string `path:"name" maxLength:"64" example:"bolt"`
	}) (*published, error) {
		report := health.Report()
		check, ok := report.Checks[in.Name]
		if !ok && len(report.Checks) == 0 { // starting, or stale
			return in.answer(report.Health(in.form, false)), nil
		}
		if !ok {
			return nil, problem(http.StatusNotFound, "There is no check of this name; /health lists them.")
		}
		return in.answer(check.In(in.form)), nil
	})
}

// either is a T for 200 and for 503, in JSON and the other forms.
func either[T any](api huma.API) map[string]*huma.Response {
	responses := make(map[string]*huma.Response)
	for status, description := range map[string]string{"200": "Healthy", "503": "Not healthy"} {
		content := jsonOf[T](api)
		content["application/health+json"] = jsonOf[healthJSONDocument](api)["application/json"]
		content["text/plain"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		responses[status] = &huma.Response{Description: description, Content: content}
	}
	return responses
}

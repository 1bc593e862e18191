package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"accountservice/internal/auth"
	"accountservice/internal/checks"
)

// published is a health answer. It runs no check.
type published struct {
	Status      int
	ContentType string `header:"Content-Type"`
	Vary        string `header:"Vary"`
	RetryAfter  string `header:"Retry-After"`
	Body        []byte
}

// healthRequest is what a request for health asks for. Unknown parameters are ignored:
// what a probe or a cache buster adds must not make the service unhealthy.
type healthRequest struct {
	form        checks.Form
	contentType string
	strict      bool
	exclude     []string
	malformed   bool
	gin         *gin.Context
}

// Resolve implements huma.Resolver. It reads the query itself, because strict needs no value.
func (a *healthRequest) Resolve(ctx huma.Context) []error {
	a.gin = humagin.Unwrap(ctx)
	a.form, a.contentType = healthForm(ctx.Header("Accept"))
	target := ctx.URL()
	if target.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(target.RawQuery)
	a.malformed = err != nil
	a.strict = isSet(query, "strict")
	for _, list := range query["exclude"] {
		for name := range strings.SplitSeq(list, ",") {
			if name != "" {
				a.exclude = append(a.exclude, name)
			}
		}
	}
	return nil
}

// respond adds the header to an answer in the form that was asked for.
func (a *healthRequest) respond(r checks.Answer) *published {
	p := &published{Status: http.StatusOK, ContentType: a.contentType, Vary: "Accept"}
	if p.Body = r.Body; !r.OK {
		p.Status, p.RetryAfter = http.StatusServiceUnavailable, "1"
	}
	return p
}

// strictParameter is made anew for each operation, because finish changes the parameters of its own.
func strictParameter() *huma.Param {
	return &huma.Param{Name: "strict", In: "query", AllowEmptyValue: true, Schema: &huma.Schema{Type: huma.TypeString},
		Description: "503 for any failing check, whatever it means; not for draining and maintenance on /health. " +
			"Present is enough; false and 0 are no"}
}

const noSuchCheck = "There is no check of this name; /health lists them."

// registerHealth describes the operations on health. They answer from the last
// snapshot, in the form that Accept likes best; no probe gets 406.
func registerHealth(e *edge, health Health) {
	register(e, operation{
		id: "get-health", method: http.MethodGet, path: "/health", scope: auth.Health,
		summary: "Should this container live? For the orchestrator",
		description: "503 means that this container can't do its work and a new one could. " +
			"Other parameters are ignored, exclude too.",
		query:   []*huma.Param{strictParameter()},
		success: healthResponses[checks.HealthDocument](e.api), errors: []int{500}, quick: quickHealth(health),
	}, func(_ context.Context, in *healthRequest) (*published, error) {
		return in.respond(shown(health.Snapshot(), in.gin).AnswerHealth(in.form, in.strict)), nil
	})
	register(e, operation{
		id: "get-ready", method: http.MethodGet, path: "/ready", scope: auth.Health,
		summary: "Should it get traffic? For load balancers",
		description: "503 means that it should get no traffic now: starting, draining, in maintenance, or without " +
			"something it needs. An excluded name that no check has is 422; other parameters are ignored.",
		query: []*huma.Param{strictParameter(), {Name: "exclude", In: "query", Example: "log",
			Schema: &huma.Schema{Type: huma.TypeString},
			Description: "Checks to leave out of the verdict, with commas between or the parameter repeated; " +
				"also drain and maintenance."}},
		success: healthResponses[checks.HealthDocument](e.api), errors: []int{400, 422, 500},
	}, func(_ context.Context, in *healthRequest) (*published, error) {
		if in.malformed { // it may have held an exclude
			return nil, problem(http.StatusBadRequest, "The query of the URL is malformed.")
		}
		answer, err := shown(health.Snapshot(), in.gin).AnswerReady(in.form, in.strict, in.exclude)
		if errors.Is(err, checks.ErrUnknownCheck) {
			return nil, unprocessable(InvalidField{Parameter: "exclude", Detail: noSuchCheck})
		}
		return in.respond(answer), err
	})
	register(e, operation{
		id: "get-health-check", method: http.MethodGet, path: "/health/checks/{name}", scope: auth.Health,
		summary: "One check", description: "503 while it fails, whatever that means for the container.",
		success: healthResponses[checks.CheckHistory](e.api), errors: []int{404, 500},
	}, func(_ context.Context, in *struct {
		healthRequest
		Name string `path:"name" maxLength:"64" example:"log"`
	}) (*published, error) {
		answer, err := shown(health.Snapshot(), in.gin).AnswerCheck(in.form, in.Name)
		if errors.Is(err, checks.ErrUnknownCheck) {
			return nil, problem(http.StatusNotFound, noSuchCheck)
		}
		return in.respond(answer), err
	})
}

// healthResponses describes the answers 200 and 503: a T as JSON, and the other forms.
func healthResponses[T any](api huma.API) map[string]*huma.Response {
	responses := make(map[string]*huma.Response)
	for status, description := range map[string]string{"200": "Healthy", "503": "Not healthy"} {
		content := jsonOf[T](api)
		content["application/health+json"] = jsonOf[checks.HealthJSONDocument](api)["application/json"]
		content["text/plain"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		responses[status] = &huma.Response{Description: description, Content: content}
	}
	return responses
}

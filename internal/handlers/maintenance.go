package handlers

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/auth"
	"accountservice/internal/checks"
)

type maintenanceState struct {
	Body struct {
		Active bool       `json:"active"`
		Reason string     `json:"reason,omitempty" doc:"Shown by /ready"`
		Since  *time.Time `json:"since,omitempty"`
		Until  *time.Time `json:"until,omitempty" doc:"When it ends by itself"`
	} `nameHint:"Maintenance"`
}

func newMaintenanceState(m checks.Maintenance, active bool) *maintenanceState {
	s := &maintenanceState{}
	if active {
		s.Body.Active, s.Body.Reason = true, m.Reason
		s.Body.Since, s.Body.Until = &m.Since, &m.Until
	}
	return s
}

// maintenanceOrder is the body that begins a maintenance.
type maintenanceOrder struct {
	Reason string `json:"reason" minLength:"1" maxLength:"200" doc:"Shown by /ready" example:"replacing the disk"`
	TTL    string `json:"ttl" doc:"A number with a unit, such as 90s, 10m or 2h; at most 24h" example:"10m"`
}

func (o maintenanceOrder) Validate() error {
	visible := func(r rune) bool { return unicode.IsPrint(r) && r != ' ' }
	if !strings.ContainsFunc(o.Reason, visible) || utf8.RuneCountInString(o.Reason) > 200 {
		return unprocessable(InvalidField{Pointer: "#/reason", Detail: "must have 1 to 200 characters, one of them visible"})
	}
	if d := o.duration(); d < time.Second || d > checks.MaxMaintenance {
		return unprocessable(InvalidField{Pointer: "#/ttl",
			Detail: "must be 1s to 24h, a number with a unit such as 10m"})
	}
	return nil
}

// duration is 0 if the TTL is malformed.
func (o maintenanceOrder) duration() time.Duration {
	d, _ := time.ParseDuration(o.TTL)
	return d
}

func registerMaintenance(e *edge, live *Live) {
	const path = "/maintenance"
	register(e, operation{
		id: "get-maintenance", method: http.MethodGet, path: path, scope: auth.Admin, summary: "Is the traffic sent away?",
	}, func(context.Context, *struct{}) (*maintenanceState, error) {
		to, err := live.serving()
		if err != nil {
			return nil, err
		}
		return newMaintenanceState(to.Maintainer.Maintenance()), nil
	})
	register(e, operation{
		id: "put-maintenance", method: http.MethodPut, path: path, scope: auth.Admin,
		summary:     "Send the traffic away for a while",
		description: "/ready answers 503 until then; /health stays as it is. It ends by itself, and with the process.",
		body:        &huma.RequestBody{Required: true, Content: jsonOf[maintenanceOrder](e.api)},
	}, func(_ context.Context, in *jsonBody[maintenanceOrder]) (*maintenanceState, error) {
		to, err := live.serving()
		if err != nil {
			return nil, err
		}
		return newMaintenanceState(to.Maintainer.Maintain(in.value.Reason, in.value.duration()), true), nil
	})
	register(e, operation{
		id: "delete-maintenance", method: http.MethodDelete, path: path, scope: auth.Admin,
		summary: "Let the traffic come back",
	}, func(context.Context, *struct{}) (*struct{}, error) {
		to, err := live.serving()
		if err == nil {
			to.Maintainer.EndMaintenance()
		}
		return nil, err
	})
}

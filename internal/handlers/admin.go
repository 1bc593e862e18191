package handlers

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"accountservice/internal/checks"
)

// maxAdminBody bounds the body of an order, in bytes.
const maxAdminBody = 4 << 10

// Maintainer sends the traffic away for a while.
type Maintainer interface {
	Maintain(reason string, lasts time.Duration) (checks.Maintenance, error)
	EndMaintenance()
	Maintenance() (checks.Maintenance, bool)
}

// Admin is what operators reach and nobody else: it asks for no password.
type Admin struct {
	Maintainer Maintainer // nil while the service is starting
	Metrics    prometheus.Gatherer
	Version    string
	Addr       string // host:port of its listener: the host is taken as one of its names
	Log        *slog.Logger
}

// Handler returns the routes: /maintenance, /metrics and /debug/pprof/.
func (a Admin) Handler() http.Handler {
	own := API{MaxBody: maxAdminBody, Log: slog.New(identified{a.Log.Handler()})}
	engine := newEngine()
	engine.Use(own.identify, own.recoverPanic, a.ownHost)
	api := humagin.New(engine, humaConfig(a.Version))
	a.registerMaintenance(api, own.checked(api))
	engine.GET("/metrics", gin.WrapH(promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{})))
	engine.GET("/debug/pprof/*profile", profile)
	describeAll(api.OpenAPI())
	document(engine, api)
	serveHEAD(engine)
	return engine
}

// ownHost refuses, on a loopback address, a Host that is neither localhost nor
// an IP address nor what Addr has: a web page whose name was made to lead here has the browser of
// an operator ask in its name (DNS rebinding). On other addresses any name may
// be ours, as that of a service on a Swarm is.
func (a Admin) ownHost(c *gin.Context) {
	local, _ := c.Request.Context().Value(http.LocalAddrContextKey).(net.Addr)
	tcp, ok := local.(*net.TCPAddr)
	if !ok || !tcp.IP.IsLoopback() || isLocal(c.Request.Host) || strings.EqualFold(hostOf(c.Request.Host), hostOf(a.Addr)) {
		return
	}
	write(c, problem(http.StatusMisdirectedRequest, "On this machine alone, operators are served as localhost or by an IP address."))
}

// isLocal says whether a Host, with or without a port, is localhost or an IP address.
func isLocal(host string) bool {
	host = hostOf(host)
	return host == "" || strings.EqualFold(host, "localhost") || net.ParseIP(strings.Trim(host, "[]")) != nil
}

// hostOf is a host without port and final dot.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	return strings.TrimSuffix(addr, ".")
}

// profile is what net/http/pprof would have put on the default mux.
func profile(c *gin.Context) {
	serve := pprof.Index
	switch c.Param("profile") {
	case "/cmdline":
		serve = pprof.Cmdline
	case "/profile":
		serve = pprof.Profile
	case "/symbol":
		serve = pprof.Symbol
	case "/trace":
		serve = pprof.Trace
	}
	serve(c.Writer, c.Request)
}

type maintenanceState struct {
	Body struct {
		Active bool       `json:"active"`
		Reason string     `json:"reason,omitempty" doc:"Shown to everybody by /ready"`
		Since  *time.Time `json:"since,omitempty"`
		Until  *time.Time `json:"until,omitempty" doc:"When it ends by itself"`
	} `nameHint:"Maintenance"`
}

func newMaintenanceState(m checks.Maintenance, on bool) *maintenanceState {
	s := &maintenanceState{}
	if on {
		since, until := m.Since.UTC().Truncate(time.Millisecond), m.Until.UTC().Truncate(time.Millisecond)
		s.Body.Active, s.Body.Reason, s.Body.Since, s.Body.Until = true, m.Reason, &since, &until
	}
	return s
}

type maintenanceOrder struct {
	Body struct {
		_      struct{} `additionalProperties:"false"`
		Reason string   `json:"reason" minLength:"1" maxLength:"200" doc:"Shown to everybody by /ready" example:"replacing the disk"`
		TTL    string   `json:"ttl" doc:"How long: a number with a unit, such as 90s, 10m or 2h; at most 24h" example:"10m"`
	} `nameHint:"MaintenanceOrder"`
}

// registerMaintenance describes the operations on it.
func (a Admin) registerMaintenance(api huma.API, checked func(huma.Context, func(huma.Context))) {
	operation := func(method, id, summary string, errors ...int) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/maintenance", Summary: summary, Tags: []string{"maintenance"},
			Errors: append(errors, 400, 406, 414, 421, 422, 431, 503), RejectUnknownQueryParameters: true,
			Middlewares: huma.Middlewares{checked}, MaxBodyBytes: -1, BodyReadTimeout: -1, SkipValidateBody: true, // checked has it
		}
	}
	starting := problem(http.StatusServiceUnavailable, "The service is starting.")
	starting.retryAfter = "1"

	huma.Register(api, operation(http.MethodGet, "get-maintenance", "Is the traffic sent away?"),
		func(context.Context, *struct{}) (*maintenanceState, error) {
			if a.Maintainer == nil {
				return nil, starting
			}
			return newMaintenanceState(a.Maintainer.Maintenance()), nil
		})
	put := operation(http.MethodPut, "put-maintenance", "Send the traffic away for a while", 408, 411, 413, 415)
	put.Description = "/ready answers 503 until then; /health stays as it is. It ends by itself, and with the process."
	huma.Register(api, put, func(_ context.Context, in *maintenanceOrder) (*maintenanceState, error) {
		if a.Maintainer == nil {
			return nil, starting
		}
		lasts, err := time.ParseDuration(in.Body.TTL)
		if err != nil || lasts < time.Second || lasts > checks.MaxMaintenance {
			return nil, unprocessable(InvalidField{Pointer: "#/ttl", Detail: "must be a number with a unit between 1s and 24h, such as 10m"})
		}
		m, err := a.Maintainer.Maintain(in.Body.Reason, lasts)
		if err != nil {
			return nil, unprocessable(InvalidField{Pointer: "#/reason", Detail: err.Error()})
		}
		return newMaintenanceState(m, true), nil
	})
	huma.Register(api, operation(http.MethodDelete, "delete-maintenance", "Let the traffic come back"),
		func(context.Context, *struct{}) (*struct{}, error) {
			if a.Maintainer == nil {
				return nil, starting
			}
			a.Maintainer.EndMaintenance()
			return nil, nil
		})
}

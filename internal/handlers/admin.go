package handlers

import (
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"accountservice/internal/auth"
)

// maxAdminBody bounds the body of a request, in bytes.
const maxAdminBody = 4 << 10

// AdminOptions are what NewAdmin needs.
type AdminOptions struct {
	Live    *Live
	Metrics prometheus.Gatherer
	Version string
	Addr    string // host:port of its listener: the host is taken as one of its names
	Log     *slog.Logger
	Level   *slog.LevelVar // of the Log

	// Tokens, if not nil, are asked for: with the scope admin, or for /metrics and /status health. Without them, nobody but
	// operators may reach the routes.
	Tokens *auth.Tokens
}

// NewAdmin returns the routes for operators: /status, /metrics, /maintenance, /backup, /log-level and /debug/pprof/.
func NewAdmin(o AdminOptions) http.Handler {
	log := newFailureLog(o.Log)
	engine := newEngine(log.Logger)
	engine.Use(ownHost(o.Addr), ownSite())
	api, guard := newAPI(engine, o.Version), newGuard(o.Tokens, false)
	guard.describe(api)
	e := &edge{api: api, log: log, maxBody: maxAdminBody, guard: guard}
	registerMaintenance(e, o.Live)
	registerBackup(e, o.Live)
	registerLogLevel(e, o.Level)
	metrics := promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{})
	engine.GET("/metrics", guard.require(metrics, auth.Health, auth.Admin))
	engine.GET("/status", guard.require(statusHandler(o.Live, nil), auth.Health, auth.Admin))
	engine.GET("/debug/pprof/*profile", guard.require(http.DefaultServeMux, auth.Admin)) // net/http/pprof is there
	return publish(engine, api)
}

// ownHost refuses, on a loopback address, a Host that is neither localhost nor an IP address nor the host of addr. A
// web page whose name was made to lead to this machine could otherwise have the browser of an operator ask here in its
// name (DNS rebinding). On other addresses any name may be ours, as that of a service on a Swarm is.
func ownHost(addr string) gin.HandlerFunc {
	return func(c *gin.Context) {
		local, _ := c.Request.Context().Value(http.LocalAddrContextKey).(net.Addr)
		tcp, is := local.(*net.TCPAddr)
		if is && tcp.IP.IsLoopback() && !isHost(c.Request.Host, hostOf(addr)) {
			p := problemOf(errHost)
			p.Detail = "The Host must be localhost, an IP address or the host of admin.addr. Nothing was changed."
			refuse(c, p)
		}
	}
}

// ownSite refuses what a browser asks for a web page of another site, GET too: a profile costs a minute of work.
// Browsers say so for http on loopback and for https; elsewhere tokens protect.
func ownSite() gin.HandlerFunc {
	protection := http.NewCrossOriginProtection()
	return func(c *gin.Context) {
		unsafe := *c.Request
		unsafe.Method = http.MethodPost // GET would pass
		if protection.Check(&unsafe) != nil {
			refuse(c, errCrossSite)
		}
	}
}

package handlers

import (
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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
}

// NewAdmin returns the routes that operators reach and nobody else, for they ask
// for no password: /maintenance, /metrics and /debug/pprof/.
func NewAdmin(o AdminOptions) http.Handler {
	log := newFailureLog(o.Log)
	engine := newEngine(log.Logger)
	engine.Use(ownHost(o.Addr))
	api := newAPI(engine, o.Version)
	registerMaintenance(&edge{api: api, log: log, maxBody: maxAdminBody}, o.Live)
	engine.GET("/metrics", gin.WrapH(promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{})))
	engine.GET("/debug/pprof/*profile", gin.WrapH(http.DefaultServeMux)) // where net/http/pprof puts its own
	return publish(engine, api)
}

// ownHost refuses, on a loopback address, a Host that is neither localhost nor an IP address nor the host of addr. A
// web page whose name was made to lead to this machine could otherwise have the browser of an operator ask here in its
// name (DNS rebinding). On other addresses any name may be ours, as that of a service on a Swarm is.
func ownHost(addr string) gin.HandlerFunc {
	return func(c *gin.Context) {
		local, _ := c.Request.Context().Value(http.LocalAddrContextKey).(net.Addr)
		tcp, is := local.(*net.TCPAddr)
		host := hostOf(c.Request.Host)
		own := host == "" || strings.EqualFold(host, "localhost") || strings.EqualFold(host, hostOf(addr)) ||
			net.ParseIP(strings.Trim(host, "[]")) != nil
		if is && tcp.IP.IsLoopback() && !own {
			writeProblem(c, problem(http.StatusMisdirectedRequest,
				"The Host must be localhost, an IP address or the host of admin.addr."))
		}
	}
}

// hostOf is a host without port and final dot.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	return strings.TrimSuffix(addr, ".")
}

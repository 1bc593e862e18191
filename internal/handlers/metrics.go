package handlers

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts requests. Its labels have few values: the route and never the path, and of methods those of RFC 9110.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	places   places
}

// places shows the gates, by the name of what they bound. They are known before the first request.
type places map[string]*gate

var (
	waitingDesc = prometheus.NewDesc("accountservice_requests_waiting", "Requests that wait for a place.",
		[]string{"place"}, nil)
	refusedDesc = prometheus.NewDesc("accountservice_requests_refused_total", "Requests that got no place in time.",
		[]string{"place"}, nil)
)

// Describe and Collect implement prometheus.Collector.
func (places) Describe(all chan<- *prometheus.Desc) { all <- waitingDesc; all <- refusedDesc }
func (p places) Collect(all chan<- prometheus.Metric) {
	for name, gate := range p {
		waiting, refused := gate.load()
		all <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(waiting), name)
		all <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(refused), name)
	}
}

// NewMetrics returns Metrics that reg shows.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		places: make(places),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "accountservice_http_requests_total", Help: "Requests that were answered.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "accountservice_http_request_duration_seconds", Help: "Time from a request's header to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method"}),
	}
	reg.MustRegister(m.requests, m.duration, m.places)
	return m
}

var knownMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace}

// observe must be the outermost handler, so that it sees the status after a panic.
func (m *Metrics) observe(c *gin.Context) {
	begin := time.Now()
	defer func() {
		route, method := cmp.Or(c.FullPath(), "unmatched"), c.Request.Method
		if !slices.Contains(knownMethods, method) {
			method = "other"
		}
		m.requests.WithLabelValues(route, method, strconv.Itoa(c.Writer.Status())).Inc()
		m.duration.WithLabelValues(route, method).Observe(time.Since(begin).Seconds())
	}()
	c.Next()
}

package connections

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Register has reg show the connections of the pool.
func (p *Pool) Register(reg prometheus.Registerer) {
	gauge := func(name, help string, value *atomic.Int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "accountservice_connections_" + name, Help: help},
			func() float64 { return float64(value.Load()) })
	}
	counter := func(name, help, reason string, value *atomic.Int64) prometheus.Collector {
		opts := prometheus.CounterOpts{Name: "accountservice_connections_" + name, Help: help}
		if reason != "" {
			opts.ConstLabels = prometheus.Labels{"reason": reason}
		}
		return prometheus.NewCounterFunc(opts, func() float64 { return float64(value.Load()) })
	}
	const cut = "Connections, and streams of HTTP/2, that the service ended: to make room, or because the client was slow."
	reg.MustRegister(
		gauge("open", "Connections of clients.", &p.count),
		gauge("most", "How many connections there may be.", &p.most),
		gauge("held_bytes", "Memory that the connections are taken to hold.", &p.held),
		counter("closed_total", "Connections that have ended, for any reason.", "", &p.totals.closed),
		counter("cut_total", cut, "room", &p.totals.room),
		counter("cut_total", cut, "slow", &p.totals.slow),
	)
}

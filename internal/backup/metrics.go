package backup

import "github.com/prometheus/client_golang/prometheus"

// Register adds the metrics of a Scheduler to a registry.
func (s *Scheduler) Register(reg prometheus.Registerer) {
	gauge := func(name, help string, value func(status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(s.known()) })
	}
	counter := func(name, help string, value func(status) float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return value(s.known()) })
	}
	reg.MustRegister(
		gauge("accountservice_backup_last_timestamp_seconds",
			"When the newest whole backup at backup.to was made, in seconds since 1970; 0 if there is none.",
			func(now status) float64 {
				if now.newest.Name == "" {
					return 0
				}
				return float64(now.newest.Time.Unix())
			}),
		gauge("accountservice_backup_last_size_bytes", "Size of the newest whole backup at backup.to.",
			func(now status) float64 { return float64(now.newest.Size) }),
		gauge("accountservice_backup_max_age_seconds", "The setting backup.max_age.",
			func(status) float64 { return s.MaxAge.Seconds() }),
		counter("accountservice_backup_made_total", "Backups that were made and stored since the start.",
			func(now status) float64 { return float64(now.succeeded) }),
		counter("accountservice_backup_failures_total", "Tries to list, verify or make a backup that failed since the start.",
			func(now status) float64 { return float64(now.failures) }),
	)
}

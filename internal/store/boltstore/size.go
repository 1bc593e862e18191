package boltstore

import "github.com/prometheus/client_golang/prometheus"

// Size is what is known of the database without reading it.
type Size struct {
	Accounts int64 // that CheckRecords counted when it read them all the last time; -1 before that
	Bytes    int64 // of the file, after the last commit
	Free     int64 // bytes of it that are not in use, and that later writes take
}

// Size returns the size of the database. It does not wait for the disk.
func (s *Store) Size() Size {
	m := s.committer.metrics
	return Size{m.accounts.Load(), m.bytes.Load(), m.free.Load()}
}

// State returns which database this is, and its last transaction. It does not wait for the disk.
func (s *Store) State() (identity string, transaction uint64) { return s.h.id, s.h.committed.Load() }

// Register has reg show the commits and the size of the database.
func (s *Store) Register(reg prometheus.Registerer) {
	m := s.committer.metrics
	reg.MustRegister(m.commits, m.batch, m.wait, sizes{s})
}

// sizes shows the Size when it is scraped.
type sizes struct{ store *Store }

var (
	accountsDesc = prometheus.NewDesc("accountservice_accounts",
		"Accounts that the check records counted when it read them all the last time; absent before that.", nil, nil)
	fileDesc = prometheus.NewDesc("accountservice_bolt_file_bytes", "Size of the database file.", nil, nil)
	freeDesc = prometheus.NewDesc("accountservice_bolt_free_bytes",
		"Part of the database file that is not in use: later writes take it.", nil, nil)
)

// Describe and Collect implement prometheus.Collector.
func (sizes) Describe(all chan<- *prometheus.Desc) {
	all <- accountsDesc
	all <- fileDesc
	all <- freeDesc
}
func (s sizes) Collect(all chan<- prometheus.Metric) {
	size := s.store.Size()
	show := func(d *prometheus.Desc, value int64) {
		all <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value))
	}
	if size.Accounts >= 0 {
		show(accountsDesc, size.Accounts)
	}
	show(fileDesc, size.Bytes)
	show(freeDesc, size.Free)
}

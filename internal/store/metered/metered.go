// Package metered counts and times the calls of a store. It knows the store contract and no store.
package metered

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"accountservice/internal/store"
)

// Operations, which are the values of one label.
const (
	get     = "get"
	getMany = "get_many"
	list    = "list"
	put     = "put"
	update  = "update"
	remove  = "delete"
	bulk    = "import"
)

// Outcomes, which are the values of another.
const (
	succeeded   = "ok"
	refused     = "refused"     // because of what the caller asked
	cancelled   = "cancelled"   // the caller waited no longer
	unavailable = "unavailable" // also not in time; nothing was changed
	unknown     = "unknown"     // the write may have happened
	noSpace     = "no_space"
	failed      = "error"
)

// metered is a store whose calls are measured, but for Peek, which takes less time than the measuring.
type metered struct {
	store.Store
	operations map[string]operation
}

// operation are the metrics of one.
type operation struct {
	duration prometheus.Observer
	outcomes map[string]prometheus.Counter
}

// New returns s as a store whose calls reg shows. All series exist from the start.
func New(s store.Store, reg prometheus.Registerer) store.Store {
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "accountservice_store_operation_duration_seconds",
		Help:    "Time of the store for one operation, with its waiting. Reads that are answered from memory are not counted.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"operation"})
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "accountservice_store_operations_total",
		Help: "Operations of the store by their outcome; refused are those that the caller could not ask.",
	}, []string{"operation", "outcome"})
	m := &metered{s, make(map[string]operation)}
	for _, name := range []string{get, getMany, list, put, update, remove, bulk} {
		o := operation{duration.WithLabelValues(name), make(map[string]prometheus.Counter)}
		for _, outcome := range []string{succeeded, refused, cancelled, unavailable, unknown, noSpace, failed} {
			o.outcomes[outcome] = total.WithLabelValues(name, outcome)
		}
		m.operations[name] = o
	}
	reg.MustRegister(duration, total)
	return m
}

func measured[T any](m *metered, name string, call func() (T, error)) (T, error) {
	began := time.Now()
	result, err := call()
	o := m.operations[name]
	o.duration.Observe(time.Since(began).Seconds())
	o.outcomes[outcomeOf(err)].Inc()
	return result, err
}

func outcomeOf(err error) string {
	var invalid *store.Invalid
	var callers *changeError
	is := func(targets ...error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
	switch {
	case err == nil:
		return succeeded
	case is(store.ErrOutcomeUnknown): // first: its causes are those of others
		return unknown
	case errors.As(err, &callers), errors.As(err, &invalid),
		is(store.ErrNotFound, store.ErrExists, store.ErrVersion, store.ErrKeyReused, store.ErrTooMuch):
		return refused
	case is(store.ErrNoSpace):
		return noSpace
	case is(store.ErrUnavailable, context.DeadlineExceeded): // a deadline is of the service, and not of its client
		return unavailable
	case is(context.Canceled):
		return cancelled
	}
	return failed
}

// changeError is an error of the function that Update was given.
type changeError struct{ error }

func (e *changeError) Unwrap() error { return e.error }

func (m *metered) Get(ctx context.Context, id store.ID) (store.Account, error) {
	return measured(m, get, func() (store.Account, error) { return m.Store.Get(ctx, id) })
}

func (m *metered) GetMany(ctx context.Context, ids []store.ID) (store.Found, error) {
	return measured(m, getMany, func() (store.Found, error) { return m.Store.GetMany(ctx, ids) })
}

func (m *metered) List(ctx context.Context, q store.Query) (store.Page, error) {
	return measured(m, list, func() (store.Page, error) { return m.Store.List(ctx, q) })
}

func (m *metered) Put(
	ctx context.Context, id store.ID, draft store.Draft, pre store.Preconditions,
) (store.Written, error) {
	return measured(m, put, func() (store.Written, error) { return m.Store.Put(ctx, id, draft, pre) })
}

func (m *metered) Update(
	ctx context.Context, id store.ID, pre store.Preconditions, change func(store.Account) (store.Draft, error),
) (store.Written, error) {
	marked := func(old store.Account) (store.Draft, error) {
		draft, err := change(old)
		if err != nil {
			err = &changeError{err}
		}
		return draft, err
	}
	return measured(m, update, func() (store.Written, error) { return m.Store.Update(ctx, id, pre, marked) })
}

func (m *metered) Delete(ctx context.Context, id store.ID, pre store.Preconditions) error {
	_, err := measured(m, remove, func() (struct{}, error) { return struct{}{}, m.Store.Delete(ctx, id, pre) })
	return err
}

func (m *metered) Import(ctx context.Context, accounts []store.Account) (store.Imported, error) {
	return measured(m, bulk, func() (store.Imported, error) { return m.Store.Import(ctx, accounts) })
}

package metered_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/metered"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

func open(t *testing.T) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(t.Context(), boltstore.Options{Path: filepath.Join(t.TempDir(), "accounts.db"), OpenTimeout: time.Second})
	harness.Must(t, err)
	t.Cleanup(func() { storetest.Close(t, s) })
	return s
}

// meter returns the measured store, and what its metrics are.
func meter(t *testing.T, s store.Store) (store.Store, func() string) {
	t.Helper()
	reg := prometheus.NewRegistry()
	return metered.New(s, reg), func() string {
		w := httptest.NewRecorder()
		promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
}

func TestMeasuredStoreIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		path := filepath.Join(t.TempDir(), "accounts.db")
		return func(t *testing.T, now func() time.Time) store.Store {
			t.Helper()
			s, err := boltstore.Open(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second, Now: now})
			harness.Must(t, err)
			m, _ := meter(t, s)
			return m
		}
	})
}

func TestEachCallIsCountedByItsOutcome(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	none := store.Preconditions{}
	hung, cancel := context.WithCancel(ctx)
	cancel()
	late, cancel := context.WithDeadline(ctx, time.Unix(1, 0))
	defer cancel()
	errChange, errOther := errors.New("unwanted"), errors.New("other")
	fault := func(f storetest.Fault) storetest.Faulty {
		return storetest.Faulty{Store: open(t), OnGet: f, OnPut: f, OnUpdate: f, OnDelete: f, OnList: f, OnGetMany: f, OnImport: f}
	}
	all := func(ctx context.Context) func(s store.Store) {
		return func(s store.Store) {
			s.Get(ctx, "a")
			s.GetMany(ctx, []store.ID{"a"})
			s.List(ctx, store.Query{Limit: 1})
			s.Put(ctx, "a", store.Draft{Name: "x"}, none)
			s.Update(ctx, "a", none, func(store.Account) (store.Draft, error) { return store.Draft{Name: "y"}, nil })
			s.Import(ctx, []store.Account{{ID: "b", Draft: store.Draft{Name: "z"}}})
			s.Delete(ctx, "a", none)
		}
	}
	each := func(outcome string) (lines []string) {
		for _, operation := range []string{"get", "get_many", "list", "put", "update", "delete", "import"} {
			lines = append(lines, operation+" "+outcome)
		}
		return lines
	}
	for name, c := range map[string]struct {
		store store.Store
		do    func(store.Store)
		want  []string
	}{
		"all well, but for the first Get": {open(t), all(ctx), append(each("ok")[1:], "get refused")},
		"the caller's fault": {open(t), func(s store.Store) {
			s.Put(ctx, "a", store.Draft{}, none)
			s.Update(ctx, "a", none, nil)
			s.Put(ctx, "b", store.Draft{Name: "x"}, none)
			if _, err := s.Update(ctx, "b", none, func(store.Account) (store.Draft, error) { return store.Draft{}, errChange }); !errors.Is(err, errChange) {
				t.Errorf("%v, want the error of change", err)
			}
			s.Put(ctx, "b", store.Draft{Name: "x"}, store.Preconditions{Absent: true})
		}, []string{"put refused", "put refused", "put ok", "update refused", "update refused"}},
		"down":      {fault(storetest.Fail(fmt.Errorf("x: %w", store.ErrUnavailable))), all(ctx), each("unavailable")},
		"full":      {fault(storetest.Fail(store.ErrNoSpace)), all(ctx), each("no_space")},
		"in doubt":  {fault(storetest.Fail(fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, context.Canceled))), all(ctx), each("unknown")},
		"gave up":   {fault(storetest.Hang), all(hung), each("cancelled")},
		"too slow":  {fault(storetest.Hang), all(late), each("unavailable")},
		"otherwise": {fault(storetest.Fail(errOther)), all(ctx), each("error")},
	} {
		t.Run(name, func(t *testing.T) {
			s, shown := meter(t, c.store)
			c.do(s)
			want := make(map[string]int)
			for _, line := range c.want {
				want[line]++
			}
			text := shown()
			for _, operation := range each("") {
				operation = strings.TrimSpace(operation)
				calls := 0
				for _, outcome := range []string{"ok", "refused", "cancelled", "unavailable", "unknown", "no_space", "error"} {
					n := want[operation+" "+outcome]
					calls += n
					line := fmt.Sprintf("accountservice_store_operations_total{operation=%q,outcome=%q} %d\n", operation, outcome, n)
					if !strings.Contains(text, line) {
						t.Errorf("want %s", line)
					}
				}
				if line := fmt.Sprintf("accountservice_store_operation_duration_seconds_count{operation=%q} %d\n", operation, calls); !strings.Contains(text, line) {
					t.Errorf("want %s", line)
				}
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

// What Peek answers takes less time than its measuring would.
func TestPeekIsNotMeasured(t *testing.T) {
	t.Parallel()
	s, shown := meter(t, open(t))
	_, err := s.Put(t.Context(), "a", store.Draft{Name: "x"}, store.Preconditions{})
	harness.Must(t, err)
	before := []byte(shown())
	if acc, ok := s.Peek("a"); ok && acc.Account.Name != "x" {
		t.Errorf("%+v", acc)
	}
	if after := []byte(shown()); !bytes.Equal(before, after) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

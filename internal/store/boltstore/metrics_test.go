package boltstore_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"accountservice/internal/store"
)

// shown is what a scrape of the store says.
func shown(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestSizeIsThatOfTheFile(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 0)
	reg := prometheus.NewRegistry()
	s.Register(reg)
	if text := shown(t, reg); strings.Contains(text, "accountservice_accounts") || s.Size().Accounts != -1 {
		t.Errorf("accounts are known before they were counted: %s", text)
	}
	const n = 1500 // more than one run of the check reads
	in := make([]store.Account, n)
	for i := range in {
		in[i] = store.Account{ID: stays(i), Draft: store.Draft{Name: strings.Repeat("x", 200)}}
	}
	must(t, errOf(s.Import(t.Context(), in)))
	for range n/1024 + 2 {
		must(t, s.CheckRecords(t.Context()))
	}
	info, err := os.Stat(path)
	must(t, err)
	size := s.Size()
	if size.Accounts != n || size.Bytes != info.Size() || size.Free <= 0 || size.Free >= size.Bytes-n*200 {
		t.Errorf("%+v, want %d accounts and %d bytes", size, n, info.Size())
	}
	s.NoSyncForTest() // nothing here looks at what a loss of power leaves
	for _, acc := range in[:n-7] {
		must(t, s.Delete(t.Context(), acc.ID, store.Preconditions{}))
	}
	for range 2 {
		must(t, s.CheckRecords(t.Context()))
	}
	if after := s.Size(); after.Accounts != 7 || after.Bytes-after.Free > (size.Bytes-size.Free)/2 {
		t.Errorf("%+v and before %+v, want 7 accounts and most of the file free", after, size)
	}
	info, err = os.Stat(path)
	must(t, err)
	text := shown(t, reg)
	if n, bytes := number(t, text, "accountservice_accounts"), number(t, text, "accountservice_bolt_file_bytes"); n != 7 || int64(bytes) != info.Size() {
		t.Errorf("a scrape says %v accounts and %v bytes, want 7 and %d", n, bytes, info.Size())
	}
}

// number is the value of a line in what a scrape says.
func number(t *testing.T, text, name string) (n float64) {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n"+name+" ")
	if _, err := fmt.Sscan(rest, &n); !found || err != nil {
		t.Errorf("%s is not in:\n%s", name, text)
	}
	return n
}

func TestCommitsAndTheirWaitingAreMeasured(t *testing.T) {
	s, _ := seeded(t, 10)
	reg := prometheus.NewRegistry()
	s.Register(reg)
	before := shown(t, reg)
	wantErr(t, errOf(s.Update(t.Context(), "none", store.Preconditions{}, nil)), store.ErrNotFound) // commits nothing
	release := blocked(t, s)                                                                        // has the others share the next transaction
	const others, wait = 5, 60 * time.Millisecond
	var all sync.WaitGroup
	for i := range others {
		all.Go(func() { wantErr(t, putName(t, s, "10000", fmt.Sprint("z", i)), nil) })
	}
	await(t, "the others in the queue", func() bool { return s.QueuedForTest() == others })
	<-time.After(wait)
	release()
	all.Wait()
	text := shown(t, reg)
	for name, want := range map[string]float64{
		"commit_duration_seconds_count":        2,
		"batch_writes_count":                   3,
		"batch_writes_sum":                     2 + others,
		`batch_writes_bucket{le="1"}`:          2,
		"queue_wait_seconds_count":             2 + others,
		`queue_wait_seconds_bucket{le="0.05"}`: 2,
	} {
		name = "accountservice_bolt_" + name
		if got := number(t, text, name) - number(t, before, name); got != want {
			t.Errorf("%s grew by %v, want %v", name, got, want)
		}
	}
}

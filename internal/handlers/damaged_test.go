package handlers_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/tests/harness"
)

// damagedService serves 100 accounts, of which these are damaged.
func damagedService(t *testing.T, ids ...string) service {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts.db")
	bolt, err := boltstore.Open(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second})
	harness.Must(t, err)
	_, err = bolt.Seed(t.Context(), store.Fakes(100))
	harness.Must(t, err)
	harness.Must(t, bolt.Close(context.Background()))
	harness.DamageRecords(t, path, ids...)
	return serve(t, func(store.Store) store.Store { return openBolt(t, path, 0) })
}

func TestListsLeaveDamagedAccountsOutAndSaySo(t *testing.T) {
	s := damagedService(t, "10007", "10042")
	var page accountPage
	r := s.do(t, "GET", "/accounts?limit=1000", "")
	r.is(t, 200, &page)
	if got := r.Header.Get("Accounts-Damaged"); len(page.Items) != 98 || got != `2; ids="10007 10042"` {
		t.Errorf("%d accounts, %q", len(page.Items), got)
	}
	if r := s.do(t, "GET", "/accounts?limit=5", ""); r.Header.Values("Accounts-Damaged") != nil {
		t.Errorf("a page without them has %q", r.Header)
	}
	r = s.do(t, "GET", "/accounts?limit=1000&name=Person_3", "")
	if r.is(t, 200, &page); len(page.Items) != 1 || r.Header.Get("Accounts-Damaged") == "" {
		t.Errorf("%d accounts, %q", len(page.Items), r.Header)
	}
	var batch struct {
		Items            []store.Account
		Missing, Damaged []string
	}
	s.do(t, "POST", "/accounts:batchGet", `{"ids":["10042","none","10001"]}`).is(t, 200, &batch)
	if len(batch.Items) != 1 || fmt.Sprint(batch.Missing, batch.Damaged) != "[none] [10042]" {
		t.Errorf("%+v", batch)
	}
}

// A header has a bound, and may not hold any text.
func TestHeaderNamesTheFirstDamagedAccountsAlone(t *testing.T) {
	var ids []string
	for i := range 100 {
		ids = append(ids, fmt.Sprint(10000+i))
	}
	s := damagedService(t, ids...)
	got := s.do(t, "GET", "/accounts?limit=1000", "").Header.Get("Accounts-Damaged")
	if !strings.HasPrefix(got, `100; ids="10000 10001 `) || !strings.HasSuffix(got, ` 10019"`) {
		t.Errorf("%q", got)
	}
	var lists store.Page
	lists.Damaged = []store.ID{"a\r\nb", "c\"d", "\xff"}
	strange := serve(t, func(s store.Store) store.Store { return pageStore{s, lists} })
	if got := strange.do(t, "GET", "/accounts", "").Header.Get("Accounts-Damaged"); got != `3; ids=""` {
		t.Errorf("%q", got)
	}
}

// pageStore lists this page.
type pageStore struct {
	store.Store
	page store.Page
}

func (s pageStore) List(context.Context, store.Query) (store.Page, error) { return s.page, nil }

func TestExportNamesDamagedAccountsAndImportSkipsThem(t *testing.T) {
	s := damagedService(t, "10000", "10042", "10099")
	r := s.do(t, "GET", "/accounts:export", "")
	lines := strings.SplitAfter(r.body, "\n")
	if r.StatusCode != 200 || len(lines) != 101 || lines[0] != "{\"damaged\":\"10000\"}\n" ||
		lines[42] != "{\"damaged\":\"10042\"}\n" || lines[99] != "{\"damaged\":\"10099\"}\n" {
		t.Errorf("%d, %d lines, %q", r.StatusCode, len(lines), lines)
	}
	fresh := serve(t, nil)
	var got handlers.ImportCount
	fresh.importLines(t, "", "{\"id\":\"new\",\"name\":\"x\"}\n"+lines[0]+lines[42]).is(t, 200, &got)
	if got != (handlers.ImportCount{Created: 1, Lines: 3, Damaged: 2}) {
		t.Errorf("%+v", got)
	}
	fresh.do(t, "GET", "/accounts/10000", "").is(t, 200, new(store.Account))
	var again handlers.ImportCount
	s.importLines(t, "", fresh.do(t, "GET", "/accounts:export", "").body).is(t, 200, &again)
	if again != (handlers.ImportCount{Created: 1, Replaced: 3, Unchanged: 97, Lines: 101}) {
		t.Errorf("%+v", again)
	}
	if r := s.do(t, "GET", "/accounts:export", ""); strings.Contains(r.body, "damaged") {
		t.Errorf("after they were replaced: %s", r.body)
	}
}

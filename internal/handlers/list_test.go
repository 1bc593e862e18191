package handlers_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// linked is the path and query of the next page, relative to the service.
func (s service) linked(t *testing.T, r reply) string {
	t.Helper()
	link := r.Header.Get("Link")
	target, ok := strings.CutSuffix(link, `>; rel="next"`)
	next, err := r.Request.URL.Parse(strings.TrimPrefix(target, "<"))
	if !ok || err != nil || !strings.HasPrefix(next.String(), s.URL+"/") {
		t.Fatalf("link %q of %s", link, r.Request.URL)
	}
	return strings.TrimPrefix(next.String(), s.URL)
}

// follow reads all pages from path on by their links, and returns the ids.
func (s service) follow(t *testing.T, path string) (ids []string) {
	t.Helper()
	for range 1000 {
		var page accountPage
		r := s.do(t, "GET", path, "")
		r.is(t, 200, &page)
		for _, acc := range page.Items {
			ids = append(ids, string(acc.ID))
		}
		link := r.Header.Get("Link")
		if (link == "") != (page.NextCursor == "") {
			t.Fatalf("link %q and cursor %q of one page", link, page.NextCursor)
		}
		if link == "" {
			return ids
		}
		path = s.linked(t, r)
	}
	t.Fatal("no end of pages")
	return nil
}

func TestLinksLeadThroughAllThatTheFiltersLetPass(t *testing.T) {
	s := serve(t, nil)
	since := time.Now().UTC()
	for i, name := range []string{"Zoë & Co", "Zoë & Sons", "zoë"} {
		body := fmt.Sprintf(`{"name":%q,"email":"p%d+x@example.org","labels":{"team":"a=%d","odd":""}}`, name, i%2, i)
		s.do(t, "POST", "/accounts", body).is(t, 201, &store.Account{})
	}
	zone := since.In(time.FixedZone("", 2*3600)).Format(time.RFC3339Nano)
	for query, want := range map[string]int{
		"":                            103,
		"name=Person_7":               1,
		"name_prefix=Person_1":        11,
		"name_prefix=Zo%C3%AB+%26":    2,
		"name_prefix=Person&name=zoë": 0,
		"email=p0%2Bx@example.org":    2,
		"email=p0+x@example.org":      0,
		"label=team=a%3D1":            1,
		"label=team=a=1":              1,
		"label=odd=":                  3,
		"label=odd%3D&email=p1%2Bx%40example.org":                                     1,
		"updated_since=" + url.QueryEscape(since.Format(time.RFC3339Nano)):            3,
		"updated_since=" + url.QueryEscape(zone) + "&name_prefix=Z":                   2,
		"updated_since=" + url.QueryEscape(since.Add(time.Hour).Format(time.RFC3339)): 0,
	} {
		for _, limit := range []string{"1", "7", "1000"} {
			ids := s.follow(t, "/accounts?limit="+limit+"&"+query)
			inOrder := slices.Compact(slices.Sorted(slices.Values(ids)))
			if len(ids) != want || !slices.Equal(ids, inOrder) {
				t.Errorf("%s by %s: %q, want %d in order", query, limit, ids, want)
			}
		}
	}
}

func TestPageAfterTheLastIsEmpty(t *testing.T) {
	s := serve(t, nil)
	last := s.cursor(t, 99)
	s.do(t, "DELETE", "/accounts/10099", "")
	if r := s.do(t, "GET", "/accounts?cursor="+last, ""); !strings.Contains(r.body, `"items":[]`) {
		t.Errorf("%s, want an empty list", r.body)
	}
}

func TestCursorIsTakenOnlyAsItWasGiven(t *testing.T) {
	s := serve(t, nil)
	var page accountPage
	s.do(t, "GET", "/accounts?limit=3&name_prefix=Person", "").is(t, 200, &page)
	good := page.NextCursor
	s.do(t, "GET", "/accounts?limit=5&name_prefix=Person&cursor="+good, "").is(t, 200, &page) // another limit
	raw, err := base64.RawURLEncoding.DecodeString(good)
	harness.Must(t, err)
	for i := range 8 { // every byte of the filters' hash counts
		raw[i] ^= 1
		r := s.do(t, "GET", "/accounts?name_prefix=Person&cursor="+base64.RawURLEncoding.EncodeToString(raw), "")
		if p := r.isProblem(t, 422); len(p.Errors) != 1 || p.Errors[0].Parameter != "cursor" {
			t.Errorf("byte %d: %s", i, r.body)
		}
		raw[i] ^= 1
	}
	for _, query := range []string{"cursor=" + good, "name_prefix=Perso&cursor=" + good, "name=Person&cursor=" + good,
		"name_prefix=Person&updated_since=2000-01-01T00:00:00Z&cursor=" + good, "name_prefix=Person&cursor=" + good[:8],
		"cursor=" + good[:9], "cursor=MToxMDAwMA"} {
		s.do(t, "GET", "/accounts?"+query, "").isProblem(t, 422)
	}
	replica := serve(t, nil)
	replica.do(t, "GET", "/accounts?name_prefix=Person&cursor="+good, "").is(t, 200, &page)
}

func TestBatchGetTellsWhatIsThereAndWhatIsNot(t *testing.T) {
	s := serve(t, nil)
	var got struct {
		Items   []store.Account `json:"items"`
		Missing []string        `json:"missing"`
	}
	s.do(t, "POST", "/accounts:batchGet", `{"ids":["10002","nobody","10001","10002","~"]}`).is(t, 200, &got)
	if len(got.Items) != 2 || got.Items[0].ID != "10002" || got.Items[1].Name != "Person_1" || fmt.Sprint(got.Missing) != "[nobody ~]" {
		t.Errorf("got %+v", got)
	}
	if r := s.do(t, "POST", "/accounts:batchGet", `{"ids":["nobody"]}`); !strings.Contains(r.body, `"items":[]`) {
		t.Errorf("%s, want an empty list", r.body)
	}
	if r := s.do(t, "POST", "/accounts:batchGet", `{"ids":["10000"]}`); !strings.Contains(r.body, `"missing":[]`) {
		t.Errorf("%s, want an empty list", r.body)
	}
	thousand := `"a"` + strings.Repeat(`,"a"`, 999)
	s.do(t, "POST", "/accounts:batchGet", `{"ids":[`+thousand+`]}`).is(t, 200, &got)
	for body, pointer := range map[string]string{
		`{"ids":[` + thousand + `,"a"]}`: "#/ids", `{"ids":[]}`: "#/ids", `{}`: "#/ids", `{"ids":["a","a b"]}`: "#/ids/1", `{"ids":["a",".."]}`: "#/ids/1",
		`{"ids":["a",7]}`: "#/ids/1", `{"ids":["a",null]}`: "#/ids/1", `{"ids":null}`: "#/ids", `{"ids":"a"}`: "#/ids", `{"ids":["a"],"x":1}`: "#/x",
	} {
		s.do(t, "POST", "/accounts:batchGet", body).refuses(t, pointer, body)
	}
}

// large puts n accounts of nearly 50 kB, and returns their ids as a body.
func (s service) large(t *testing.T, n int) string {
	t.Helper()
	var body strings.Builder
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf(`"large%d"`, i)
		fmt.Fprintf(&body, `{"id":%s,"name":"x","labels":{"k":""`, ids[i])
		for key := range store.MaxLabels - 1 {
			fmt.Fprintf(&body, `,"k%d":"%s"`, key, strings.Repeat("日", store.MaxLabelLength))
		}
		body.WriteString("}}\n")
	}
	s.importLines(t, "", body.String()).is(t, 200, &handlers.ImportCount{})
	return `{"ids":[` + strings.Join(ids, ",") + `]}`
}

func TestBatchGetOfTooMuchSaysToAskForLess(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	r := s.do(t, "POST", "/accounts:batchGet", s.large(t, 100))
	if p := r.isProblem(t, 422); p.Type != "/problems/too-much" || !strings.Contains(p.Detail, "fewer ids") {
		t.Errorf("%.200s", r.body)
	}
	s.do(t, "POST", "/accounts:batchGet", s.large(t, 40)).is(t, 200, &accountPage{})
}

// stalled asks for path and reads nothing of the answer.
func (s service) stalled(t *testing.T, path string) {
	t.Helper()
	conn := s.dial(t, "")
	conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
}

// smallBuffers is a listener with send buffers like those of the service.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(64 << 10)
	}
	return conn, err
}

// Readers that stand still have the answers of their lists already: they keep no place from any other request.
func TestStalledReadersOfListsHoldUpNothing(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 1000)
	l := storetest.Faulty{OnList: func(context.Context) error { entered <- struct{}{}; return nil }}
	s := serve(t, func(real store.Store) store.Store { l.Store = real; return l })
	s.large(t, 100)
	server := httptest.NewUnstartedServer(bare(l))
	server.Listener = smallBuffers{server.Listener}
	server.Start()
	t.Cleanup(server.Close)
	s.Server = server
	for range 2 * runtime.GOMAXPROCS(0) { // more than lists have places
		if !harness.Until(time.Minute, func() bool {
			s.stalled(t, "/accounts?limit=1000")
			select {
			case <-entered:
				return true
			case <-time.After(4 * time.Second): // refused: the one before it has too little CPU
				return false
			}
		}) {
			t.Fatal("no list is read")
		}
	}
	for range 10 {
		s.do(t, "GET", "/accounts/10000", "").is(t, 200, &store.Account{})
		s.do(t, "PUT", "/accounts/10000", `{"name":"x"}`).is(t, 200, &store.Account{})
		if !harness.Until(20*time.Second, func() bool { return s.do(t, "GET", "/accounts?limit=1", "").StatusCode == 200 }) {
			t.Fatal("lists are refused") // one that is still made has too little CPU, but not for ever
		}
	}
}

package handlers_test

import (
	"fmt"
	"strings"
	"testing"

	"accountservice/internal/handlers"
	"accountservice/internal/store"
)

func TestConditionsDecideAboutEveryMethod(t *testing.T) {
	s := serve(t, nil)
	first := s.do(t, "GET", "/accounts/10000", "").Header.Get("ETag")
	if !strings.HasPrefix(first, `"1-`) {
		t.Fatalf("ETag %s", first)
	}
	const body, future = `{"name":"x"}`, "Fri, 31 Dec 9999 23:59:59 GMT"
	for i, c := range []struct {
		method, path, header, value string
		status                      int
	}{
		{"GET", "10000", "If-None-Match", first, 304},
		{"HEAD", "10000", "If-None-Match", first, 304},
		{"GET", "10000", "If-None-Match", "W/" + first, 304},
		{"GET", "10000", "If-None-Match", "*", 304},
		{"GET", "10000", "If-None-Match", `"1-other", ` + first, 304},
		{"GET", "10000", "If-None-Match", `"1-other"`, 200},
		{"GET", "10000", "If-Match", first, 200},
		{"GET", "10000", "If-Match", `"1-other"`, 412},
		{"GET", "nobody", "If-None-Match", "*", 404},
		{"GET", "nobody", "If-Match", "*", 404},
		{"GET", "10000", "If-Match", "x", 400},
		{"GET", "10000", "If-None-Match", "x", 400},
		{"GET", "10000", "If-None-Match", "", 400},
		{"PUT", "10000", "If-Match", `"1-other"`, 412},
		{"PUT", "10000", "If-Match", "W/" + first, 412},
		{"PUT", "10000", "If-Match", "", 400},
		{"PUT", "10000", "If-Match", " , ", 400},
		{"PUT", "10000", "If-Match", `"x`, 400},
		{"PUT", "10000", "If-None-Match", "*", 412},
		{"PUT", "10000", "If-None-Match", `"1-other"`, 400},
		{"PUT", "nobody", "If-Match", "*", 412},
		{"PUT", "nobody", "If-Match", first, 412},
		{"PATCH", "10000", "If-Match", `"1-other"`, 412},
		{"PATCH", "10000", "If-Match", "W/" + first, 412},
		{"PATCH", "nobody", "If-Match", "*", 404},
		{"DELETE", "10000", "If-Match", `"1-other"`, 412},
		{"DELETE", "10000", "If-Match", "W/" + first, 412},
		{"DELETE", "nobody", "If-Match", `"1-other"`, 404},
		{"DELETE", "nobody", "If-Match", "*", 404},
		{"DELETE", "10000", "If-Match", "x", 400},
		{"PATCH", "10000", "If-None-Match", "*", 400},
		{"PATCH", "10000", "If-None-Match", `"1-other"`, 400},
		{"DELETE", "10000", "If-None-Match", "*", 400},
		{"DELETE", "10000", "If-None-Match", `"1-other"`, 400},
		{"POST", "", "If-Match", "*", 400},
		{"POST", "", "If-None-Match", `"1-other"`, 400},
		{"PUT", "10000", "If-Unmodified-Since", future, 400},
		{"PATCH", "10000", "If-Unmodified-Since", future, 400},
		{"DELETE", "10000", "If-Unmodified-Since", future, 400},
		{"DELETE", "10000", "If-Unmodified-Since", "", 400},
		{"POST", "", "If-Unmodified-Since", future, 400},
		{"PUT", "10000", "If-Modified-Since", future, 400},
		{"PATCH", "10000", "If-Range", first, 400},
		{"GET", "10000", "If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT", 200}, // a read has no dates to compare
		{"GET", "10000", "If-Modified-Since", future, 200},
		{"GET", "10000", "If-Range", first, 200},
		// and these change something
		{"PUT", "10000", "If-Match", `"1-other", ` + first, 200},
		{"PUT", "10000", "If-Match", first, 412},
		{"PUT", "10000", "If-Match", "*", 200},
		{"PATCH", "10000", "If-Match", "*", 200},
		{"DELETE", "10000", "If-Match", "*", 204},
		{"PUT", "10000", "If-None-Match", "*", 201},
	} {
		text := ""
		if c.method == "PUT" || c.method == "PATCH" || c.method == "POST" {
			text = body
		}
		r := s.do(t, c.method, strings.TrimSuffix("/accounts/"+c.path, "/"), text, c.header, c.value)
		if r.StatusCode != c.status {
			t.Errorf("%d: %s %s with %s: %s = %d %s, want %d", i, c.method, c.path, c.header, c.value, r.StatusCode, r.body, c.status)
		}
		if c.status == 304 && r.Header.Get("ETag") != first {
			t.Errorf("%d: 304 with ETag %s, want %s", i, r.Header.Get("ETag"), first)
		}
		if c.status == 304 && s.afterHeader(t, c.method, "/accounts/"+c.path, c.header, c.value) != "" {
			t.Errorf("%d: 304 has a body", i)
		}
		if c.status == 400 && !strings.Contains(r.body, `"parameter":"`+c.header) {
			t.Errorf("%d: %s does not name %s", i, r.body, c.header)
		}
	}
}

// A list of tags may stand in several lines (RFC 9110, 5.3).
func TestConditionInSeveralLinesIsOneList(t *testing.T) {
	s := serve(t, nil)
	tag := s.do(t, "GET", "/accounts/10000", "").Header.Get("ETag")
	text := fmt.Sprintf("DELETE /accounts/10000 HTTP/1.1\r\nHost: x\r\nIf-Match: \"no\"\r\nIf-Match: %s\r\nConnection: close\r\n\r\n", tag)
	if r := s.raw(t, "DELETE", text); r.StatusCode != 204 {
		t.Errorf("%d %s, want 204", r.StatusCode, r.body)
	}
}

func TestPreconditionsAreRequiredWhereItIsSet(t *testing.T) {
	s := serveWith(t, nil, func(o *handlers.Options) { o.RequirePreconditions = true })
	for method, body := range map[string]string{"PUT": `{"name":"x"}`, "PATCH": `{"name":"x"}`, "DELETE": ""} {
		p := s.do(t, method, "/accounts/10000", body).isProblem(t, 428)
		if p.Type != "/problems/precondition-required" || !strings.Contains(p.Detail, "If-Match") {
			t.Errorf("%s: %+v", method, p)
		}
	}
	tag := s.do(t, "GET", "/accounts/10000", "").Header.Get("ETag")
	s.do(t, "PUT", "/accounts/10000", `{"name":"x"}`, "If-Match", tag).is(t, 200, &store.Account{})
	s.do(t, "PUT", "/accounts/new", `{"name":"x"}`, "If-None-Match", "*").is(t, 201, &store.Account{})
	s.do(t, "POST", "/accounts", `{"name":"x"}`).is(t, 201, &store.Account{})
}

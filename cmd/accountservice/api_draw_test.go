package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"
)

// poison is in every value that must be refused, and so must not come back.
const poison = "s3cr3t"

// request is one to send. A tame one is made of what the document allows.
type request struct {
	method, target string
	header         [][2]string
	body           []byte // nil is none
	chunked        bool
	tame           bool
	id             string // of an account of the walk that it is about
}

// world is what one walk knows.
type world struct {
	doc    *openapi3.T
	prefix string // of its ids
	etags  map[string]string
	cursor string
	keys   int // given to tame requests
}

func pick[T any](t *rapid.T, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(t, label)
}

// chance is true once in n times.
func chance(t *rapid.T, label string, n int) bool { return rapid.IntRange(1, n).Draw(t, label) == n }

// draw makes a request out of an operation of the document.
func (w *world) draw(t *rapid.T) request {
	paths := slices.Sorted(maps.Keys(w.doc.Paths.Map()))
	paths = append(paths, "/accounts/{id}", "/accounts/{id}", "/accounts/{id}") // most of what there is to break
	path := pick(t, "path", paths...)
	if path == "/accounts:export" && !chance(t, "export", 20) { // which grows with all walks
		path = "/accounts:import"
	}
	item := w.doc.Paths.Value(path)
	r := request{tame: rapid.Bool().Draw(t, "tame")}
	r.method = pick(t, "method", slices.Sorted(maps.Keys(item.Operations()))...)
	if !r.tame && chance(t, "any method", 20) {
		r.method = pick(t, "other method", "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get")
	}
	op := item.GetOperation(strings.ToUpper(r.method))
	if r.method == "BREW" || r.method == "get" || op == nil {
		op = &openapi3.Operation{}
	}
	w.drawTarget(t, &r, path, op)
	w.drawHeader(t, &r, op)
	if op.RequestBody != nil || !r.tame && chance(t, "needless body", 20) {
		w.drawBody(t, &r, op)
	}
	return r
}

func (w *world) drawTarget(t *rapid.T, r *request, path string, op *openapi3.Operation) {
	if strings.Contains(path, "{id}") {
		id := fmt.Sprint(w.prefix, rapid.IntRange(0, 2).Draw(t, "id"))
		if !r.tame && chance(t, "other id", 8) {
			id = pick(t, "bad id", "nobody", ".", "..", "a b", "a/b", strings.Repeat("x", 65), "é", "\x00", "%", poison+"!", strings.Repeat("y", 9<<10))
		} else {
			r.id = id
		}
		path = strings.Replace(path, "{id}", url.PathEscape(id), 1)
	}
	path = strings.Replace(path, "{name}", pick(t, "check", "bolt", "bolt", "none", "disk"), 1)
	if !r.tame && chance(t, "other path", 30) {
		path, r.id = pick(t, "bad path", path+"/", "/"+path, path+"/x", "/nothing", "/accounts:nothing", path+"%00"), ""
	}
	var query []string
	for _, ref := range op.Parameters {
		p := ref.Value
		if p.In != openapi3.ParameterInQuery || !rapid.Bool().Draw(t, "with "+p.Name) {
			continue
		}
		value := w.drawParameter(t, p, r.tame)
		if r.tame && value == "" {
			continue // empty ones are refused
		}
		query = append(query, p.Name+"="+url.QueryEscape(value))
		if !r.tame && chance(t, "twice", 10) {
			query = append(query, query[len(query)-1])
		}
	}
	if !r.tame && chance(t, "odd query", 10) {
		query = append(query, pick(t, "odd", "limt="+poison, "%zz", "a;b", "limit", "=", "&&", "cursor=%00", strings.Repeat("z", 9<<10)))
	}
	r.target = path
	if len(query) > 0 {
		r.target += "?" + strings.Join(query, "&")
	}
}

// drawParameter is a value of the parameter's schema, or not.
func (w *world) drawParameter(t *rapid.T, p *openapi3.Parameter, tame bool) string {
	if p.Name == "exclude" && tame {
		return pick(t, "excluded", "bolt", "records", "disk", "maintenance") // any other name is refused
	}
	if p.Name == "cursor" {
		if tame {
			return "" // of these filters there is none
		}
		return pick(t, "cursor", w.cursor, w.cursor+"A", "A", poison)
	}
	if !tame && rapid.Bool().Draw(t, "bad "+p.Name) {
		return pick(t, "value", poison, "-1", "0", "1001", "99999999999999999999", "1e3", "\xff", "a\x00", "2026-11-22T00:00:00+01:00", "2026-13-01T00:00:00Z", strings.Repeat("n", 300))
	}
	value := tameValue(t, p.Schema.Value)
	return fmt.Sprint(value)
}

func (w *world) drawHeader(t *rapid.T, r *request, op *openapi3.Operation) {
	add := func(name string, values ...string) {
		for _, value := range values {
			r.header = append(r.header, [2]string{name, value})
		}
	}
	for _, ref := range op.Parameters {
		if p := ref.Value; p.In == openapi3.ParameterInHeader && chance(t, "with "+p.Name, 3) {
			add(p.Name, w.drawCondition(t, r, p.Name))
		}
	}
	if r.tame {
		return
	}
	if chance(t, "accept", 8) {
		add("Accept", pick(t, "Accept", "text/html", "*/*", "application/json;q=0", "application/*;q=0.1", ",", "application/problem+json", poison))
	}
	if chance(t, "odd header", 15) {
		h := pick(t, "odd", [2]string{"X-Request-Id", "walk.1"}, [2]string{"X-Request-Id", "a b"}, [2]string{"Expect", "100-continue"}, [2]string{"If-Modified-Since", "x"}, [2]string{"If-Unmodified-Since", "Fri, 31 Dec 9999 23:59:59 GMT"},
			[2]string{"X-Long", strings.Repeat("x", 15<<10)}, [2]string{"X-HTTP-Method-Override", "DELETE"}, [2]string{"Content-Encoding", "gzip"}, [2]string{"Content-Encoding", "identity"},
			[2]string{"If-Match", ""}, [2]string{"If-None-Match", " , "}, [2]string{"Idempotency-Key", ""}, [2]string{"Range", "bytes=0-1"}, [2]string{"Connection", "close"})
		add(h[0], h[1])
	}
}

// drawCondition is an If-Match, an If-None-Match or an Idempotency-Key.
func (w *world) drawCondition(t *rapid.T, r *request, name string) string {
	known := append(slices.Sorted(maps.Values(w.etags)), `"1-none"`)
	if name == "Idempotency-Key" {
		if r.tame {
			w.keys++
			return fmt.Sprint(w.prefix, "new", w.keys)
		}
		return pick(t, "key", w.prefix+"k1", w.prefix+"k2", "\"quoted\"", strings.Repeat("k", 256), "é"+poison)
	}
	if r.tame && name == "If-None-Match" && r.method != http.MethodGet && r.method != http.MethodHead {
		return "*"
	}
	tag := pick(t, name, append(known, "*")...)
	if own := w.etags[r.id]; own != "" && rapid.Bool().Draw(t, "own tag") {
		tag = own
	}
	if r.tame {
		return tag
	}
	return pick(t, "form", tag, tag, "W/"+tag, tag+", "+tag, tag+","+pick(t, "other", known...), ","+tag+",", poison, `"`+poison, "W/", tag+tag, "\"\xff\"", "* , *")
}

func (w *world) drawBody(t *rapid.T, r *request, op *openapi3.Operation) {
	if op.RequestBody != nil && op.RequestBody.Value.Content[ndjson] != nil {
		w.drawLines(t, r)
		return
	}
	media := []string{"application/json"}
	var value any
	if op.RequestBody != nil {
		content := op.RequestBody.Value.Content
		media = slices.Sorted(maps.Keys(content))
		value = tameValue(t, content[media[0]].Schema.Value)
	}
	contentType := pick(t, "media", media...)
	r.chunked = rapid.Bool().Draw(t, "chunked")
	if !r.tame && rapid.Bool().Draw(t, "spoil") {
		value = spoil(t, value)
	}
	r.body, _ = json.Marshal(value) // of values that JSON gave
	if !r.tame && chance(t, "spoil text", 4) {
		r.body = spoilText(t, r.body)
	}
	if !r.tame && chance(t, "other media", 8) {
		contentType = pick(t, "bad media", "", "text/plain", "application/xml", "application/json; charset=utf-8", "application/json;charset=latin1", "Application/JSON ; charset=utf8",
			"application/merge-patch+json", "application/"+poison+"+json", "application/json-patch+json", ";", "APPLICATION/JSON")
	}
	if contentType != "" {
		r.header = append(r.header, [2]string{"Content-Type", contentType})
	}
}

const ndjson = "application/x-ndjson"

// drawLines is the body of an import, of accounts that no walk is about.
func (w *world) drawLines(t *rapid.T, r *request) {
	line := w.doc.Components.Schemas["AccountLine"].Value
	r.body = []byte{}
	for i := range rapid.IntRange(0, 3).Draw(t, "lines") {
		value := tameValue(t, line).(map[string]any)
		value["id"] = fmt.Sprint(w.prefix, "line", i)
		delete(value, "updated_at") // that it is not before created_at is no matter of a schema
		if !r.tame && rapid.Bool().Draw(t, "spoil") {
			spoil(t, value)
		}
		text, _ := json.Marshal(value) // of values that JSON gave
		if !r.tame && chance(t, "spoil text", 4) {
			text = spoilText(t, text)
		}
		r.body = append(append(r.body, text...), '\n')
	}
	contentType := ndjson
	if !r.tame && chance(t, "other media", 8) {
		contentType = pick(t, "bad media", "text/plain", "application/json", ndjson+";charset=latin1", "application/"+poison)
	}
	r.header = append(r.header, [2]string{"Content-Type", contentType})
	r.chunked = rapid.Bool().Draw(t, "chunked")
}

// tameValue is a value of the schema.
func tameValue(t *rapid.T, s *openapi3.Schema) any {
	if s.Type.Includes("null") && chance(t, "null", 5) {
		return nil
	}
	switch {
	case s.Type.Includes("object"):
		object := make(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			if s.Properties[name].Value.ReadOnly {
				continue // refused but for the values of the account
			}
			if slices.Contains(s.Required, name) || rapid.Bool().Draw(t, "with "+name) {
				object[name] = tameValue(t, s.Properties[name].Value)
			}
		}
		if of := s.AdditionalProperties.Schema; of != nil {
			for range rapid.IntRange(0, 4).Draw(t, "members") {
				object[tameString(t, s.PropertyNames.Value)] = tameValue(t, of.Value)
			}
		}
		return object
	case s.Type.Includes("array"):
		list := []any{}
		for range rapid.IntRange(int(s.MinItems), int(s.MinItems)+5).Draw(t, "items") {
			list = append(list, tameValue(t, s.Items.Value))
		}
		return list
	case s.Type.Includes("integer"):
		return rapid.IntRange(int(*s.Min), int(*s.Max)).Draw(t, "integer")
	case s.Type.Includes("boolean"):
		return rapid.Bool().Draw(t, "boolean")
	}
	return tameString(t, s)
}

func tameString(t *rapid.T, s *openapi3.Schema) string {
	switch {
	case s.Format == "date-time":
		return pick(t, "time", "2026-11-22T14:39:46Z", "0001-01-01T00:00:00.000001Z", "9999-12-31T23:59:59+14:00")
	case s.Format == "email":
		return pick(t, "email", "ada@example.org", "a.b+c@sub.example.com")
	}
	most := 320
	if s.MaxLength != nil {
		most = min(most, int(*s.MaxLength))
	}
	if s.Pattern != "" {
		text := rapid.StringMatching(s.Pattern).Draw(t, "matching")
		return text[:min(len(text), most)]
	}
	most = min(most, 40)
	printable := rapid.SampledFrom([]rune("abcXYZ019 .-_~/\\\"'<>&%{}[]|é日本語😀\u2028"))
	visible := strings.Repeat("n", int(s.MinLength)) // a name needs one such character
	return visible + rapid.StringOfN(printable, 0, most-len(visible), -1).Draw(t, "text")
}

// spoil makes one place of a value another one.
func spoil(t *rapid.T, value any) any {
	odd := func() any {
		return pick[any](t, "odd value", nil, true, 7, -1.5, math.MaxFloat64, "", poison+"\x00", poison+"\n", strings.Repeat(poison, 60), []any{}, []any{poison}, map[string]any{}, map[string]any{"a": map[string]any{}})
	}
	switch v := value.(type) {
	case map[string]any:
		names := append(slices.Sorted(maps.Keys(v)), "role", "version", "id", "Name", "NAME", "a/b.c[0]~", "", "\x00")
		name := pick(t, "name", names...)
		if old, is := v[name]; is && rapid.Bool().Draw(t, "deeper") {
			v[name] = spoil(t, old)
		} else if is && rapid.Bool().Draw(t, "remove") {
			delete(v, name)
		} else {
			v[name] = odd()
		}
		return v
	case []any:
		switch pick(t, "list", "item", "long", "empty", "other") {
		case "item":
			return append(v, odd())
		case "long":
			return slices.Repeat(append(v, "x"), 1001)
		case "empty":
			return []any{}
		}
	}
	return odd()
}

// spoilText breaks the JSON itself.
func spoilText(t *rapid.T, body []byte) []byte {
	switch pick(t, "text", "cut", "tail", "twice", "bytes", "deep", "long", "empty", "case", "bom") {
	case "cut":
		return body[:rapid.IntRange(0, max(len(body)-1, 0)).Draw(t, "at")]
	case "tail":
		return append(body, pick(t, "tail", "{}", "x", "]", "\x00", " \n ")...)
	case "twice":
		return bytes.Replace(body, []byte("{"), []byte(`{"name":"`+poison+`","n\u0061me":"b",`), 1)
	case "bytes":
		return append([]byte{'"', 0xff, 0xfe}, body...)
	case "deep":
		return bytes.Repeat([]byte("["), 20_000)
	case "long":
		return append(body, bytes.Repeat([]byte(" "), 70<<10)...)
	case "case":
		return bytes.ToUpper(body)
	case "bom":
		return append([]byte("\ufeff"), body...)
	}
	return []byte{}
}

package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"accountservice/tests/harness"
)

// Swagger UI fills in the examples, and a body of the examples of its schema. A new service takes all of them as they
// are.
func TestEveryTryItOutWorksWithItsExample(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), anyAdmin)
	p.Await(t, "/health/checks/log", 200)
	for _, name := range []string{"clients", "operators"} { // in this order: operators begin a maintenance
		base := map[string]string{"clients": p.URL, "operators": p.Admin(t)}[name]
		_, text := harness.Ask("GET", base+"/openapi.json", "")
		doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
		harness.Must(t, err)
		tried := 0
		for path, item := range doc.Paths.Map() {
			for method, op := range item.Operations() {
				target, query, headers := path, "", []string{}
				for _, ref := range slices.Concat(item.Parameters, op.Parameters) {
					p := ref.Value
					value, has := p.Example.(string)
					switch {
					case p.In == "path" && !has:
						t.Errorf("%s %s: %s has no example", method, path, p.Name)
					case p.In == "path":
						target = strings.Replace(target, "{"+p.Name+"}", value, 1)
					case has && p.In == "query":
						query += "&" + p.Name + "=" + value
					case has:
						headers = append(headers, p.Name, value)
					}
				}
				body := ""
				if op.RequestBody != nil {
					content := op.RequestBody.Value.Content
					media := slices.Sorted(maps.Keys(content))[0]
					body, headers = sample(t, content[media]), append(headers, "Content-Type", media)
				}
				if query != "" {
					target += "?" + query[1:]
				}
				status, answer := harness.Ask(method, base+target, body, headers...)
				if status < 200 || status > 299 {
					t.Errorf("%s %s %s %q = %d %s", method, target, body, headers, status, answer)
				}
				tried++
			}
		}
		if least := map[string]int{"clients": 15, "operators": 4}[name]; tried < least {
			t.Errorf("%d operations for %s were tried, want %d", tried, name, least)
		}
	}
}

// sample is the body that Swagger UI shows for a media type.
func sample(t *testing.T, media *openapi3.MediaType) string {
	t.Helper()
	if text, is := media.Example.(string); is {
		return text
	}
	value := make(map[string]any)
	for name, ref := range media.Schema.Value.Properties {
		switch s := ref.Value; {
		case s.ReadOnly:
		case len(s.Examples) > 0:
			value[name] = s.Examples[0]
		case s.Example != nil:
			value[name] = s.Example
		case s.Type.Includes("object"):
			value[name] = map[string]any{"additionalProp1": "string"}
		case s.Type.Includes("string"):
			value[name] = "string"
		default:
			value[name] = 0
		}
	}
	text, err := json.Marshal(value)
	harness.Must(t, err)
	return string(text)
}

package handlers

import (
	"encoding/json"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// openAnswers allows members in answers that the document does not name: a client that is generated from it must not
// refuse the answers of a later version. Bodies of requests stay as strict as the service is.
func openAnswers(doc *huma.OpenAPI) {
	strict := map[string]bool{lineSchema: true}
	for _, path := range doc.Paths {
		for _, op := range []*huma.Operation{path.Put, path.Post, path.Patch} {
			if op == nil || op.RequestBody == nil {
				continue
			}
			for _, media := range op.RequestBody.Content {
				strict[strings.TrimPrefix(media.Schema.Ref, "#/components/schemas/")] = true
			}
		}
	}
	for name, schema := range doc.Components.Schemas.Map() {
		if !strict[name] && schema.AdditionalProperties == false {
			schema.AdditionalProperties = nil
		}
	}
}

// documents returns the document as OpenAPI 3.1 and, for generators that do not read that, as 3.0.
func documents(doc *huma.OpenAPI) (current, older []byte, err error) {
	if current, err = json.Marshal(doc); err != nil {
		return nil, nil, err
	}
	if older, err = doc.Downgrade(); err != nil {
		return nil, nil, err
	}
	var tree any
	if err = json.Unmarshal(older, &tree); err != nil {
		return nil, nil, err
	}
	downgrade(tree)
	older, err = json.Marshal(tree)
	return current, older, err
}

// downgrade removes what OpenAPI 3.0 does not have and huma leaves: rules for the names of members, and the media type of
// a text, which is a file there.
func downgrade(tree any) {
	switch node := tree.(type) {
	case map[string]any:
		delete(node, "propertyNames")
		if _, file := node["contentMediaType"]; file {
			delete(node, "contentMediaType")
			node["format"] = "binary"
		}
		for _, child := range node {
			downgrade(child)
		}
	case []any:
		for _, child := range node {
			downgrade(child)
		}
	}
}

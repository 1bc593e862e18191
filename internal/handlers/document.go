package handlers

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
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

// serveDocument serves a document, which is made at its first request: most processes are never asked for it.
func serveDocument(engine *gin.Engine, path string, document func() ([]byte, error)) {
	document = sync.OnceValues(document)
	engine.GET(path, func(c *gin.Context) {
		text, err := document()
		if err != nil {
			panic(err) // made of this package's own types
		}
		c.Data(http.StatusOK, "application/openapi+json", text)
	})
}

// olderDocument returns the document as OpenAPI 3.0, for generators that do not read 3.1.
func olderDocument(doc *huma.OpenAPI) ([]byte, error) {
	older, err := doc.Downgrade()
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(older, &tree); err != nil {
		return nil, err
	}
	downgrade(tree)
	return json.Marshal(tree)
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

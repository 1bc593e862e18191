package handlers

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
)

// newAPI describes operations on engine.
func newAPI(engine *gin.Engine, config huma.Config) huma.API {
	adapter := humagin.New(engine, huma.Config{OpenAPI: &huma.OpenAPI{}}).Adapter()
	return huma.NewAPI(config, literalColons{adapter})
}

// literalColons lets a path have a verb, as in /accounts:import: a colon begins
// a parameter for Gin unless it is escaped.
type literalColons struct{ huma.Adapter }

func (a literalColons) Handle(op *huma.Operation, handler func(huma.Context)) {
	escaped := *op
	escaped.Path = strings.ReplaceAll(op.Path, ":", `\:`)
	a.Adapter.Handle(&escaped, handler)
}

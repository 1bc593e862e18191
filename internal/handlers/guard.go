package handlers

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"accountservice/internal/auth"
	"accountservice/internal/checks"
)

// Keys of the values that a guard sets in the gin.Context of a request.
const (
	callerKey   = "caller"   // the name of its caller
	withheldKey = "withheld" // true if its answer must not say why a check fails or warns
)

// guard requires tokens. A nil guard requires none.
type guard struct {
	tokens  *auth.Tokens
	reasons bool // everybody may see why a check fails
}

// newGuard returns nil without tokens.
func newGuard(tokens *auth.Tokens, reasons bool) *guard {
	if tokens == nil {
		return nil
	}
	return &guard{tokens, reasons}
}

// caller returns the owner of a request's token, or errNoToken or errBadToken.
func (g *guard) caller(r *http.Request) (*auth.Caller, error) {
	given := r.Header["Authorization"]
	if len(given) == 0 {
		return nil, errNoToken
	}
	scheme, token, _ := strings.Cut(given[0], " ")
	if len(given) == 1 && strings.EqualFold(scheme, "Bearer") {
		if caller := g.tokens.Find(strings.TrimLeft(token, " ")); caller != nil { // 1*SP (RFC 9110, 11.4)
			return caller, nil
		}
	}
	return nil, errBadToken
}

// admit returns the caller of a request if it has one of these scopes and its rate is not used up.
func (g *guard) admit(r *http.Request, scopes []auth.Scope) (*auth.Caller, error) {
	caller, err := g.permitted(r, scopes)
	if err == nil && !caller.Allow() {
		err = errRate
	}
	return caller, err
}

// permitted is admit without the rate.
func (g *guard) permitted(r *http.Request, scopes []auth.Scope) (*auth.Caller, error) {
	caller, err := g.caller(r)
	if err == nil && !caller.Has(scopes...) {
		err = forbidden(scopes)
	}
	return caller, err
}

// still returns nil if an admitted request of this scope would be admitted now: a stream can outlast its token.
func (g *guard) still(r *http.Request, scope auth.Scope) error {
	if g == nil {
		return nil
	}
	_, err := g.permitted(r, []auth.Scope{scope})
	return err
}

// forbidden is the problem of a token that has none of these scopes.
func forbidden(scopes []auth.Scope) *Problem {
	var names []string
	for _, scope := range scopes {
		names = append(names, string(scope))
	}
	p := problemOf(errForbidden)
	p.Detail = "The token lacks the scope " + strings.Join(names, " or ") + ". Nothing was changed."
	p.authenticate += `, scope="` + strings.Join(names, " ") + `"`
	return p
}

// before returns the function that runs first in an operation, or nil. It reports true if it has answered the request: because the
// caller is not admitted, or because op.quick could answer.
func (g *guard) before(op operation) quick {
	switch {
	case g == nil:
		return op.quick
	case op.scope == auth.Health:
		return func(c *gin.Context) bool {
			if !g.showsReasons(c.Request) {
				c.Set(withheldKey, true)
			}
			return op.quick != nil && op.quick(c)
		}
	}
	scopes := []auth.Scope{op.scope}
	return func(c *gin.Context) bool {
		caller, err := g.admit(c.Request, scopes)
		switch {
		case err != nil:
			refuse(c, err)
			return true
		case op.quick != nil && op.quick(c):
			return true
		case op.key:
			c.Set(callerKey, caller.Name)
		}
		return false
	}
}

// require serves a route that is no operation to callers with one of these scopes. It is one handler and not a second
// before serve, because publish takes the last handler of GET for HEAD.
func (g *guard) require(serve http.Handler, scopes ...auth.Scope) gin.HandlerFunc {
	return func(c *gin.Context) {
		if g != nil {
			if _, err := g.admit(c.Request, scopes); err != nil {
				refuse(c, err)
				return
			}
		}
		serve.ServeHTTP(c.Writer, c.Request)
	}
}

type reasonsKey struct{}

// WithReasons returns the context of a request for health whose answer gives all reasons, whatever token it has.
func WithReasons(ctx context.Context) context.Context {
	return context.WithValue(ctx, reasonsKey{}, true)
}

// showsReasons reports whether the answer to a request for health may say why a check fails.
func (g *guard) showsReasons(r *http.Request) bool {
	if g.reasons || r.Context().Value(reasonsKey{}) != nil {
		return true
	}
	caller, err := g.caller(r)
	return err == nil && caller.Has(auth.Health)
}

// shown returns the part of the health that this request may see.
func shown(health *checks.Snapshot, c *gin.Context) *checks.Snapshot {
	if c.GetBool(withheldKey) {
		return health.WithoutReasons()
	}
	return health
}

// securityScheme is the name of the tokens in the OpenAPI document.
const securityScheme = "token"

func (g *guard) describe(api huma.API) {
	if g != nil {
		api.OpenAPI().Components.SecuritySchemes = map[string]*huma.SecurityScheme{securityScheme: {
			Type: "http", Scheme: "bearer", Description: "The operators of this service give tokens with scopes"}}
	}
}

// security returns the security requirements of an operation of this scope for the OpenAPI document.
func (g *guard) security(scope auth.Scope) (list []map[string][]string) {
	switch {
	case g == nil, scope == auth.Health && g.reasons:
		return nil
	case scope == auth.Health: // more is shown with a token
		list = append(list, map[string][]string{})
	}
	return append(list, map[string][]string{securityScheme: {string(scope)}})
}

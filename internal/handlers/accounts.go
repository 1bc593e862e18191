package handlers

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/store"
)

// account is an account in JSON.
type account struct {
	ID        string     `json:"id" doc:"1 to 64 of A-Z a-z 0-9 . _ ~ -" example:"10000"`
	Name      string     `json:"name" example:"Person_0"`
	Version   int64      `json:"version" minimum:"1" doc:"1 when created, one more at each change"`
	CreatedAt *time.Time `json:"created_at,omitempty" doc:"UTC; absent for accounts of a file that had no times"`
	UpdatedAt *time.Time `json:"updated_at,omitempty" doc:"UTC; absent for accounts of a file that had no times"`
}

func toJSON(acc store.Account) account {
	a := account{ID: string(acc.ID), Name: acc.Name, Version: acc.Version}
	if !acc.CreatedAt.IsZero() {
		a.CreatedAt = &acc.CreatedAt
	}
	if !acc.UpdatedAt.IsZero() {
		a.UpdatedAt = &acc.UpdatedAt
	}
	return a
}

// AccountID is the part of an input that names the account. It is exported
// because huma can fill an embedded struct only then.
type AccountID struct {
	ID string `path:"id" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._~-]+$" doc:"The account's id" example:"10000"`
}

type accountOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     account
}

// registerAccounts describes the operations on accounts.
func (a API) registerAccounts(api huma.API) {
	register(a, api, huma.Operation{
		OperationID: "get-account", Method: http.MethodGet, Path: "/accounts/{id}",
		Summary: "One account", Errors: []int{400, 404, 406, 503},
	}, a.getAccount)
	register(a, api, huma.Operation{
		OperationID: "list-accounts", Method: http.MethodGet, Path: "/accounts",
		Summary: "Accounts in order of their ids, page by page", Errors: []int{400, 406, 503},
	}, a.listAccounts)
	register(a, api, huma.Operation{
		OperationID: "put-account", Method: http.MethodPut, Path: "/accounts/{id}",
		Summary: "Create or replace an account", Errors: []int{400, 406, 408, 413, 415, 503, 507},
		Responses: map[string]*huma.Response{"201": {
			Description: "Created",
			Headers:     map[string]*huma.Param{"Location": {Schema: &huma.Schema{Type: huma.TypeString}}},
			Content:     jsonOf[account](api),
		}},
		MaxBodyBytes: -1, BodyReadTimeout: -1, // readBody has it
	}, a.putAccount)
	register(a, api, huma.Operation{
		OperationID: "delete-account", Method: http.MethodDelete, Path: "/accounts/{id}",
		Summary: "Remove an account", Errors: []int{400, 404, 406, 503, 507},
	}, a.deleteAccount)
}

// register adds an operation whose errors go through the table of words.
func register[I, O any](a API, api huma.API, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.Tags = []string{"accounts"}
	op.RejectUnknownQueryParameters = true
	op.Middlewares = huma.Middlewares{acceptable("application", "json")}
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.failed(ctx, op.OperationID, err)
		}
		return out, nil
	})
}

// jsonOf is the content of a response with a T.
func jsonOf[T any](api huma.API) map[string]*huma.MediaType {
	schema := api.OpenAPI().Components.Schemas.Schema(typeOf[T](), true, "")
	return map[string]*huma.MediaType{"application/json": {Schema: schema}}
}

func (a API) getAccount(ctx context.Context, in *AccountID) (*accountOutput, error) {
	id, err := store.ParseID(in.ID)
	if err != nil {
		return nil, err
	}
	acc, err := a.Store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &accountOutput{Status: http.StatusOK, Body: toJSON(acc)}, nil
}

type putInput struct {
	AccountID
	Body struct {
		_    struct{} `additionalProperties:"false"`
		Name string   `json:"name" minLength:"1" maxLength:"256" doc:"1 to 256 characters, no control characters" example:"Person_0"`
	} `nameHint:"AccountDraft"`
}

func (a API) putAccount(ctx context.Context, in *putInput) (*accountOutput, error) {
	id, err := store.ParseID(in.ID)
	if err != nil {
		return nil, err
	}
	w, err := a.Store.Put(ctx, id, store.Draft{Name: in.Body.Name}, store.Terms{})
	if err != nil {
		return nil, err
	}
	out := &accountOutput{Status: http.StatusOK, Body: toJSON(w.Account)}
	if w.Created {
		out.Status, out.Location = http.StatusCreated, "/accounts/"+string(id)
	}
	return out, nil
}

func (a API) deleteAccount(ctx context.Context, in *AccountID) (*struct{}, error) {
	id, err := store.ParseID(in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Store.Delete(ctx, id, store.Terms{})
}

type listInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"Accounts in a page, at most"`
	Cursor string `query:"cursor" maxLength:"4096" doc:"next_cursor of the page before"`
}

type listOutput struct {
	Body struct {
		Items      []account `json:"items" nullable:"false"`
		NextCursor string    `json:"next_cursor,omitempty" doc:"Opaque; absent on the last page"`
	} `nameHint:"AccountPage"`
}

func (a API) listAccounts(ctx context.Context, in *listInput) (*listOutput, error) {
	after, err := parseCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	page, err := a.Store.List(ctx, store.Query{After: after, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := &listOutput{}
	if page.Next != "" {
		out.Body.NextCursor = cursorAfter(page.Next)
	}
	out.Body.Items = make([]account, len(page.Accounts))
	for i, acc := range page.Accounts {
		out.Body.Items[i] = toJSON(acc)
	}
	return out, nil
}

// A cursor is the last id of a page, wrapped so that nobody builds on its form.
const cursorPrefix = "1:"

func cursorAfter(id store.ID) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorPrefix + string(id)))
}

func parseCursor(s string) (store.ID, error) {
	if s == "" {
		return "", nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(s)
	last, ours := strings.CutPrefix(string(text), cursorPrefix)
	if err != nil || !ours || last == "" {
		return "", unprocessable(InvalidField{Parameter: "cursor", Detail: "is not one that this service gave; begin without it"})
	}
	return store.ID(last), nil // not parsed: files that others wrote can have other ids
}

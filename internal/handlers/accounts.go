package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/store"
)

// account is an account in JSON.
type account struct {
	ID        string     `json:"id" doc:"1 to 64 of A-Z a-z 0-9 . _ ~ -" example:"10000"`
	Name      string     `json:"name" example:"Person_0"`
	Email     string     `json:"email,omitempty" doc:"Absent if there is none" example:"ada@example.org"`
	Labels    labels     `json:"labels,omitempty" doc:"Absent if there are none"`
	Version   int64      `json:"version" minimum:"1" doc:"1 when created, one more at each change"`
	CreatedAt *time.Time `json:"created_at,omitempty" doc:"UTC; absent for accounts of a file that had no times"`
	UpdatedAt *time.Time `json:"updated_at,omitempty" doc:"UTC; absent for accounts of a file that had no times"`
}

func toJSON(acc store.Account) account {
	a := account{ID: string(acc.ID), Name: acc.Name, Email: acc.Email, Labels: acc.Labels, Version: acc.Version}
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
	ID string `path:"id" minLength:"1" maxLength:"64" pattern:"^(\\.{0,2}[A-Za-z0-9_~-]|\\.{3})[A-Za-z0-9._~-]*$" doc:"1 to 64 of A-Z a-z 0-9 . _ ~ -, and not . or .." example:"10000"`
}

// accountOutput is an account in an answer. It is also what is remembered under
// an idempotency key, so its JSON is kept for a day.
type accountOutput struct {
	Status   int     `json:"status"`
	ETag     string  `json:"etag" header:"ETag" hidden:"true"`
	Location string  `json:"location,omitempty" header:"Location" hidden:"true"`
	Replayed string  `json:"-" header:"Idempotency-Replayed" hidden:"true"`
	Body     account `json:"body"`
}

func newOutput(status int, acc store.Account) *accountOutput {
	out := &accountOutput{Status: status, ETag: etag(acc), Body: toJSON(acc)}
	if status == http.StatusCreated {
		out.Location = "/accounts/" + string(acc.ID)
	}
	return out
}

// registerAccounts describes the operations on accounts.
func (a API) registerAccounts(api huma.API) {
	const one, all = "/accounts/{id}", "/accounts"
	get := answers[account](api, 200, "ETag")
	get["304"] = &huma.Response{Description: "Not Modified", Headers: headersOf("ETag")}
	register(a, api, huma.Operation{
		OperationID: "get-account", Method: http.MethodGet, Path: one, Summary: "One account",
		Responses: get, Errors: []int{404, 412},
	}, a.getAccount)
	register(a, api, huma.Operation{
		OperationID: "list-accounts", Method: http.MethodGet, Path: all, Summary: "Accounts in order of their ids, page by page",
		Description: "A page may be short, or even empty, and still have a next one: follow it until there is none.",
		Responses:   answers[accountPage](api, 200, "Link"), Middlewares: huma.Middlewares{a.oneList},
	}, a.listAccounts)
	register(a, api, huma.Operation{
		OperationID: "batch-get-accounts", Method: http.MethodPost, Path: "/accounts:batchGet", Summary: "Up to 1000 accounts by their ids",
		Description: "Where accounts are so large that together they have more than 8 MiB, it is refused as too-much: ask for fewer at a time.",
		Middlewares: huma.Middlewares{a.oneList},
	}, a.batchGet)
	register(a, api, huma.Operation{
		OperationID: "create-account", Method: http.MethodPost, Path: all, Summary: "Create an account under an id of the service's choice",
		Description: "Without an Idempotency-Key, a request that is repeated because its answer was lost makes a second account.",
		Responses:   answers[account](api, 201, "ETag", "Location", "Idempotency-Replayed"), DefaultStatus: 201, Errors: []int{409, 507},
	}, a.createAccount)
	put := answers[account](api, 200, "ETag")
	put["201"] = answers[account](api, 201, "ETag", "Location")["201"]
	register(a, api, huma.Operation{
		OperationID: "put-account", Method: http.MethodPut, Path: one, Summary: "Create or replace an account",
		Description: "With If-None-Match: * it only creates, with If-Match it only replaces what the client has seen.",
		Responses:   put, Errors: []int{412, 428, 507},
	}, a.putAccount)
	register(a, api, huma.Operation{
		OperationID: "patch-account", Method: http.MethodPatch, Path: one, Summary: "Change parts of an account",
		Description: "The body is a JSON Merge Patch (RFC 7396) of what PUT takes: what is absent stays, null removes. " +
			"It is taken as application/json too.",
		RequestBody: &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: mergePatch{}.Schema(api.OpenAPI().Components.Schemas)}}},
		Responses:   answers[account](api, 200, "ETag", "Idempotency-Replayed"), Errors: []int{404, 409, 412, 428, 507},
	}, a.patchAccount)
	register(a, api, huma.Operation{
		OperationID: "delete-account", Method: http.MethodDelete, Path: one, Summary: "Remove an account",
		Errors: []int{404, 412, 428, 507},
	}, a.deleteAccount)
}

type getInput struct {
	AccountID
	IfMatch
	IfNoneMatch
}

func (a API) getAccount(ctx context.Context, in *getInput) (*accountOutput, error) {
	id, match, err := target(in.ID, in.IfMatch)
	if err != nil {
		return nil, err
	}
	known, err := parseTags("If-None-Match", in.IfNoneMatch.IfNoneMatch)
	if err != nil {
		return nil, err
	}
	acc, err := a.Store.Get(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case !match.holdsFor(acc):
		return nil, store.ErrVersion
	case known.names(acc):
		return &accountOutput{Status: http.StatusNotModified, ETag: etag(acc)}, nil
	}
	return newOutput(http.StatusOK, acc), nil
}

// target reads which account a request is about, in which state.
func target(id string, condition IfMatch) (store.ID, tags, error) {
	parsed, err := store.ParseID(id)
	if err != nil {
		return "", tags{}, err
	}
	match, err := parseTags("If-Match", condition.IfMatch)
	return parsed, match, err
}

type batchInput struct {
	Body struct {
		_   struct{} `additionalProperties:"false"`
		IDs []string `json:"ids" nullable:"false" minItems:"1" maxItems:"1000" minLength:"1" maxLength:"64" pattern:"^(\\.{0,2}[A-Za-z0-9_~-]|\\.{3})[A-Za-z0-9._~-]*$" doc:"Each as the id of an account" example:"[\"10000\"]"`
	} `nameHint:"AccountIDs"`
}

type batchOutput struct {
	Body struct {
		Items   []account `json:"items" nullable:"false" doc:"Those that there are, in the order asked for, each once"`
		Missing []string  `json:"missing" nullable:"false" doc:"The ids of the others"`
	} `nameHint:"AccountBatch"`
}

func (a API) batchGet(ctx context.Context, in *batchInput) (*batchOutput, error) {
	ids := make([]store.ID, 0, len(in.Body.IDs))
	missing := make(map[store.ID]bool)
	for i, text := range in.Body.IDs {
		id, err := store.ParseID(text)
		if err != nil {
			return nil, invalidAt(err, "ids", i)
		}
		if !missing[id] {
			ids = append(ids, id)
			missing[id] = true
		}
	}
	found, err := a.Store.GetMany(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := &batchOutput{}
	out.Body.Items, out.Body.Missing = make([]account, len(found)), []string{}
	for i, acc := range found {
		out.Body.Items[i] = toJSON(acc)
		delete(missing, acc.ID)
	}
	for _, id := range ids {
		if missing[id] {
			out.Body.Missing = append(out.Body.Missing, string(id))
		}
	}
	return out, nil
}

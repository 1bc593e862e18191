package handlers

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/store"
)

type listInput struct {
	Limit        int       `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"Accounts in a page, at most"`
	Cursor       string    `query:"cursor" maxLength:"4096" doc:"next_cursor of the page before, with the same filters"`
	Name         string    `query:"name" maxLength:"256" doc:"Only accounts of this name"`
	NamePrefix   string    `query:"name_prefix" maxLength:"256" doc:"Only accounts whose name begins so"`
	UpdatedSince time.Time `query:"updated_since" doc:"Only accounts changed then or later (RFC 3339, + as %2B)"`

	asked url.Values // the query as the client wrote it
}

// Resolve implements huma.Resolver.
func (in *listInput) Resolve(ctx huma.Context) []error {
	target := ctx.URL()
	in.asked = target.Query()
	return nil
}

type accountPage struct {
	Items      []store.Account `json:"items" nullable:"false"`
	NextCursor string          `json:"next_cursor,omitempty" doc:"Opaque; absent on the last page"`
}

type listOutput struct {
	Link string `header:"Link" hidden:"true"`
	Body accountPage
}

func (a accounts) list(ctx context.Context, in *listInput) (*listOutput, error) {
	query, err := parseQuery(in)
	if err != nil {
		return nil, err
	}
	page, err := a.live.accounts().List(ctx, query)
	if err != nil {
		return nil, err
	}
	out := &listOutput{Body: accountPage{Items: append([]store.Account{}, page.Accounts...)}} // none is [], not null
	if page.Next != "" {
		query.After = page.Next
		out.Body.NextCursor = cursor(query)
		in.asked.Set("cursor", out.Body.NextCursor)
		out.Link = "</accounts?" + in.asked.Encode() + `>; rel="next"` // RFC 8288
	}
	return out, nil
}

func parseQuery(in *listInput) (store.Query, error) {
	q := store.Query{Limit: in.Limit, Name: in.Name, NamePrefix: in.NamePrefix, UpdatedSince: in.UpdatedSince}
	for parameter, text := range map[string]string{"name": in.Name, "name_prefix": in.NamePrefix} {
		var invalid *store.Invalid
		if err := (store.Draft{Name: text}).Validate(); text != "" && errors.As(err, &invalid) {
			return q, unprocessable(InvalidField{Parameter: parameter, Detail: invalid.Reason})
		}
	}
	if in.Cursor == "" {
		return q, nil
	}
	var err error
	q.After, err = parseCursor(in.Cursor, q)
	return q, err
}

// A cursor is a hash over the filters of its list and the last id of the page
// before. It authenticates nothing: a client may ask for any page. The hash finds
// a cursor that is used with other filters.
const filterHashSize = 8

// cursor returns the cursor of the page that follows q.After.
func cursor(q store.Query) string {
	return base64.RawURLEncoding.EncodeToString(append(filterHash(q), q.After...))
}

// parseCursor returns the After in a cursor that belongs to the filters of q.
func parseCursor(text string, q store.Query) (store.ID, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err == nil && len(raw) > filterHashSize && bytes.Equal(raw[:filterHashSize], filterHash(q)) {
		return store.ID(raw[filterHashSize:]), nil // not parsed: a file of another program can have other ids
	}
	return "", unprocessable(InvalidField{Parameter: "cursor",
		Detail: "belongs to other filters, or is no cursor of this service; start without it"})
}

// filterHash covers the filters alone: the limit may change from page to page.
func filterHash(q store.Query) []byte {
	sum := digest([]byte(q.Name), []byte(q.NamePrefix), []byte(q.UpdatedSince.UTC().Format(time.RFC3339Nano)))
	return sum[:filterHashSize]
}

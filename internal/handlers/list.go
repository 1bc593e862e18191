package handlers

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/store"
)

type listInput struct {
	Limit        int       `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"Accounts in a page, at most"`
	Cursor       string    `query:"cursor" maxLength:"4096" doc:"next_cursor of the page before, with the same filters"`
	Name         string    `query:"name" maxLength:"256" doc:"Only accounts of this name, character by character"`
	NamePrefix   string    `query:"name_prefix" maxLength:"256" doc:"Only accounts whose name begins so"`
	Email        string    `query:"email" maxLength:"254" doc:"Only accounts of this email, character by character"`
	Label        string    `query:"label" maxLength:"320" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}=" patternDescription:"KEY=VALUE" doc:"KEY=VALUE"`
	UpdatedSince time.Time `query:"updated_since" doc:"Only accounts changed then or later (RFC 3339, + as %2B)"`

	query url.Values // as the client wrote it
}

// Resolve implements huma.Resolver.
func (in *listInput) Resolve(ctx huma.Context) []error {
	target := ctx.URL()
	in.query = target.Query()
	return nil
}

type accountPage struct {
	Items      []store.Account `json:"items" nullable:"false"`
	NextCursor string          `json:"next_cursor,omitempty" doc:"Opaque; absent on the last page"`
}

type listOutput struct {
	Link    string `header:"Link" hidden:"true"`
	Damaged string `header:"Accounts-Damaged" hidden:"true"`
	Body    accountPage
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
	out := &listOutput{Body: accountPage{Items: page.Accounts}, Damaged: damagedHeader(page.Damaged)}
	if page.Next != "" {
		query.After = page.Next
		out.Body.NextCursor = cursor(query)
		in.query.Set("cursor", out.Body.NextCursor)
		// relative to the request's URL (RFC 8288, RFC 3986, 5), which a proxy may have changed
		out.Link = "<?" + in.query.Encode() + `>; rel="next"`
	}
	return out, nil
}

// maxNamedDamaged bounds how many damaged accounts the header of a page names.
const maxNamedDamaged = 20

// damagedHeader counts the damaged accounts of a page and names the first ones, as a structured field (RFC 9651):
// 2; ids="a b". It is "" if there are none.
func damagedHeader(damaged []store.ID) string {
	if len(damaged) == 0 {
		return ""
	}
	var names []string
	for _, id := range damaged {
		if _, err := store.ParseID(string(id)); err == nil && len(names) < maxNamedDamaged { // others are no text for a header
			names = append(names, string(id))
		}
	}
	return fmt.Sprintf(`%d; ids="%s"`, len(damaged), strings.Join(names, " "))
}

func parseQuery(in *listInput) (store.Query, error) {
	q := store.Query{
		Limit: in.Limit, Name: in.Name, NamePrefix: in.NamePrefix, Email: in.Email, UpdatedSince: in.UpdatedSince,
	}
	q.LabelKey, q.LabelValue, _ = strings.Cut(in.Label, "=")
	err := q.Validate()
	var invalid *store.Invalid
	switch {
	case errors.As(err, &invalid):
		return q, unprocessable(InvalidField{Parameter: invalid.Field, Detail: invalid.Reason})
	case in.Cursor == "":
		return q, err
	}
	q.After, err = parseCursor(in.Cursor, q)
	return q, err
}

// A cursor is a hash over the filters of its list and the last id of the page before. It authenticates nothing: a
// client may ask for any page. The hash finds a cursor that is used with other filters.
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
	sum := digest(q.Name, q.NamePrefix, q.Email, q.LabelKey, q.LabelValue, q.UpdatedSince.UTC().Format(time.RFC3339Nano))
	return sum[:filterHashSize]
}

package handlers

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

// accounts answers requests for single accounts and for lists of them.
type accounts struct {
	live                 *Live
	requirePreconditions bool
	answers              *answerBudget
}

// accountOutput is an account in an answer. It is also what is remembered under
// an idempotency key, so its JSON is kept for a day.
type accountOutput struct {
	Status   int           `json:"status"`
	ETag     string        `json:"etag" header:"ETag" hidden:"true"`
	Location string        `json:"location,omitempty" header:"Location" hidden:"true"`
	Replayed string        `json:"-" header:"Idempotency-Replayed" hidden:"true"`
	Cached   string        `json:"-" header:"Cache-Control" hidden:"true"` // "" if not at all
	Body     store.Account `json:"body"`
}

func newOutput(status int, acc store.Account) *accountOutput {
	return &accountOutput{Status: status, ETag: etag(acc), Body: acc}
}

// written is the answer to a Put or Update. Its Location is relative to /accounts.
func written(w store.Written) *accountOutput {
	if !w.Created {
		return newOutput(http.StatusOK, w.Account)
	}
	out := newOutput(http.StatusCreated, w.Account)
	out.Location = "accounts/" + string(w.Account.ID)
	return out
}

type getInput struct {
	Target
	IfNoneMatch string `header:"If-None-Match" doc:"Only if the account has none of these ETags; * is any"`
}

func (a accounts) get(ctx context.Context, in *getInput) (*accountOutput, error) {
	id, pre, err := in.parse()
	if err != nil {
		return nil, err
	}
	known, err := parseTags("If-None-Match", in.IfNoneMatch)
	if err != nil {
		return nil, err
	}
	acc, err := a.live.accounts().Get(ctx, id)
	if err == nil {
		err = pre.Allow(&acc)
	}
	switch {
	case err != nil:
		return nil, err
	case known.any || slices.Contains(known.all, acc.Revision()): // weak tags count
		return &accountOutput{Status: http.StatusNotModified, ETag: etag(acc), Cached: revalidate[0]}, nil
	}
	out := newOutput(http.StatusOK, acc)
	out.Cached = revalidate[0]
	return out, nil
}

// accountIDs is the body of a batchGet.
type accountIDs struct {
	IDs []store.ID `json:"ids"`
}

// Validate returns nil or what is wrong with the list; the decoder has read its ids.
func (a accountIDs) Validate() error {
	if len(a.IDs) == 0 {
		return unprocessable(InvalidField{Pointer: "#/ids", Detail: fmt.Sprintf("must be 1 to %d", transfer.MaxIDs)})
	}
	return nil
}

type batchOutput struct {
	Body struct {
		Items   []store.Account `json:"items" nullable:"false" doc:"Those that there are, in the order asked for, each once"`
		Missing []store.ID      `json:"missing" nullable:"false" doc:"The ids of the others"`
		Damaged []store.ID      `json:"damaged,omitempty" nullable:"false" doc:"The ids of those whose records are damaged"`
	} `nameHint:"AccountBatch"`
}

func (a accounts) batchGet(ctx context.Context, in *jsonBody[accountIDs]) (*batchOutput, error) {
	found, err := a.live.accounts().GetMany(ctx, in.value.IDs)
	if err != nil {
		return nil, err
	}
	known := make(map[store.ID]bool)
	for _, acc := range found.Accounts {
		known[acc.ID] = true
	}
	for _, id := range found.Damaged {
		known[id] = true
	}
	out := &batchOutput{}
	out.Body.Items, out.Body.Damaged = found.Accounts, found.Damaged
	for _, id := range in.value.IDs {
		if !known[id] {
			known[id] = true
			out.Body.Missing = append(out.Body.Missing, id)
		}
	}
	return out, nil
}

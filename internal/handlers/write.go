package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/store"
)

// accountDraft is what a client may decide of an account.
type accountDraft struct {
	_      struct{}    `additionalProperties:"false"`
	Name   string      `json:"name" minLength:"1" maxLength:"256" doc:"1 to 256 characters, no control characters" example:"Person_0"`
	Email  *string     `json:"email,omitempty" nullable:"true" maxLength:"254" format:"email" doc:"null is as good as absent" example:"ada@example.org"`
	Labels draftLabels `json:"labels,omitempty" doc:"null is as good as absent"`
}

func (d accountDraft) parse() store.Draft {
	draft := store.Draft{Name: d.Name, Labels: d.Labels}
	if d.Email != nil {
		draft.Email = *d.Email
	}
	return draft
}

// labels are those of an account, draftLabels those that a client gives.
type (
	labels      map[string]string
	draftLabels map[string]string
)

// Schema implements huma.SchemaProvider.
func (labels) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{Type: huma.TypeString}}
}

// Schema implements huma.SchemaProvider.
func (draftLabels) Schema(huma.Registry) *huma.Schema { return labelsSchema(false) }

// labelsSchema shows the limits of labels, null for all of them included;
// removable is null for each as well.
func labelsSchema(removable bool) *huma.Schema {
	most, longest := store.MaxLabels, store.MaxLabelLength
	value := &huma.Schema{Type: huma.TypeString, MaxLength: &longest, Nullable: removable}
	value.PrecomputeMessages()
	if removable { // all that there can be, and as many others
		most *= 2
	}
	schema := &huma.Schema{Type: huma.TypeObject, Nullable: true, AdditionalProperties: value, MaxProperties: &most,
		Extensions: map[string]any{"propertyNames": map[string]any{"pattern": `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`}}}
	return schema
}

type createInput struct {
	IdempotencyKey
	Body accountDraft
}

func (a API) createAccount(ctx context.Context, in *createInput) (*accountOutput, error) {
	pre := store.Preconditions{Absent: true, Idempotency: attemptOf(ctx).once(written)}
	return output(a.Store.Put(ctx, store.ID(newUUID(time.Now())), in.Body.parse(), pre))
}

type putInput struct {
	AccountID
	IfMatch
	IfNoneMatch
	Body accountDraft
}

func (a API) putAccount(ctx context.Context, in *putInput) (*accountOutput, error) {
	id, match, err := target(in.ID, in.IfMatch)
	if err != nil {
		return nil, err
	}
	absent := in.IfNoneMatch.IfNoneMatch != ""
	if absent && in.IfNoneMatch.IfNoneMatch != "*" {
		return nil, malformed("If-None-Match", "must be * here")
	}
	if a.RequirePreconditions && !match.given() && !absent {
		return nil, conditionRequired("If-Match, or If-None-Match: * to create")
	}
	pre := match.preconditions()
	pre.Absent = absent
	return output(a.Store.Put(ctx, id, in.Body.parse(), pre))
}

type patchInput struct {
	AccountID
	IfMatch
	IdempotencyKey
	Body mergePatch `contentType:"application/merge-patch+json"`
}

func (a API) patchAccount(ctx context.Context, in *patchInput) (*accountOutput, error) {
	id, match, err := target(in.ID, in.IfMatch)
	if err != nil {
		return nil, err
	}
	if a.RequirePreconditions && !match.given() {
		return nil, conditionRequired("If-Match")
	}
	if err := in.Body.validKeys(); err != nil {
		return nil, err
	}
	pre := match.preconditions()
	pre.Idempotency = attemptOf(ctx).once(written)
	return output(a.Store.Update(ctx, id, pre, in.Body.apply))
}

type deleteInput struct {
	AccountID
	IfMatch
}

func (a API) deleteAccount(ctx context.Context, in *deleteInput) (*struct{}, error) {
	id, match, err := target(in.ID, in.IfMatch)
	if err != nil {
		return nil, err
	}
	if a.RequirePreconditions && !match.given() {
		return nil, conditionRequired("If-Match")
	}
	return nil, a.Store.Delete(ctx, id, match.preconditions())
}

// written is the answer to a Put or Update.
func written(w store.Written) *accountOutput {
	if w.Created {
		return newOutput(http.StatusCreated, w.Account)
	}
	return newOutput(http.StatusOK, w.Account)
}

// output turns what a Put or Update returned into an answer.
func output(w store.Written, err error) (*accountOutput, error) {
	switch {
	case err != nil:
		return nil, err
	case w.Replay != nil:
		return replayed(w.Replay)
	}
	return written(w), nil
}

package handlers

import (
	"context"
	"encoding/json"
	"fmt"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

// change reads which account is to be changed, and on what conditions.
func (a accounts) change(t Target, absent bool) (store.ID, store.Preconditions, error) {
	id, pre, err := t.parse()
	pre.Absent = absent
	if err == nil && a.requirePreconditions && !absent && !pre.Present && pre.Revisions == nil {
		err = errConditionRequired
	}
	return id, pre, err
}

func (a accounts) create(ctx context.Context, in *jsonBody[store.Draft]) (*accountOutput, error) {
	pre := store.Preconditions{Absent: true, Idempotency: idempotency(ctx)}
	if pre.Idempotency != nil {
		draft, err := json.Marshal(in.value)
		if err != nil {
			return nil, err
		}
		pre.Idempotency.Fingerprint = digest("create-account", string(draft))
	}
	return output(a.live.accounts().Put(ctx, store.ID(newUUID()), in.value, pre))
}

// replacement is the body of a PUT: the content, and read-only members as the account
// has them, so that what GET gave can be sent back.
type replacement store.Account

// Validate returns nil: the store holds to today's rules what differs from the account as it is then.
func (replacement) Validate() error { return nil }

type putInput struct {
	Target
	IfNoneMatch string `header:"If-None-Match" doc:"* alone is taken: only if there is no such account"`
	jsonBody[replacement]
}

func (a accounts) put(ctx context.Context, in *putInput) (*accountOutput, error) {
	if in.IfNoneMatch != "" && in.IfNoneMatch != "*" {
		return nil, malformed("If-None-Match", "must be * here")
	}
	id, pre, err := a.change(in.Target, in.IfNoneMatch == "*")
	if err != nil {
		return nil, err
	}
	if given := in.value.ID; given != "" && given != id {
		return nil, otherID()
	}
	pre.ReadOnly = store.Account(in.value)
	out, err := output(a.live.accounts().Put(ctx, id, in.value.Draft, pre))
	if err == nil && out.Location != "" {
		out.Location = string(id) // relative to /accounts/{id}
	}
	return out, err
}

type patchInput struct {
	Target
	patch []byte
}

// decode refuses what cannot be merged into any account. It is merged later, into the account as it is then.
func (in *patchInput) decode(text []byte) error {
	in.patch = text
	if fault := transfer.Merge(text, &store.Account{}); fault != nil {
		return fault
	}
	return nil
}

// apply merges the patch into an account. The store validates the result.
func (in *patchInput) apply(acc store.Account) (store.Draft, error) {
	stored := acc
	if fault := transfer.Merge(in.patch, &acc); fault != nil {
		return acc.Draft, fault
	}
	if acc.ID != stored.ID {
		return acc.Draft, otherID()
	}
	return acc.Draft, acc.CheckReadOnly(stored)
}

func otherID() error {
	return unprocessable(InvalidField{Pointer: "#/id", Detail: "must be that of the URL, or absent"})
}

func (a accounts) patch(ctx context.Context, in *patchInput) (*accountOutput, error) {
	id, pre, err := a.change(in.Target, false)
	if err != nil {
		return nil, err
	}
	change, spend := in.apply, func() {}
	if pre.Idempotency = idempotency(ctx); pre.Idempotency != nil {
		condition := fmt.Sprintf("%t %q", pre.Present, pre.Revisions)
		pre.Idempotency.Fingerprint = digest("patch-account", string(id), condition, string(transfer.Canonical(in.patch)))
		change, spend = a.answers.limit(pre.Idempotency, change)
	}
	w, err := a.live.accounts().Update(ctx, id, pre, change)
	if err == nil && w.Replay == nil {
		spend()
	}
	return output(w, err)
}

func (a accounts) delete(ctx context.Context, in *Target) (*struct{}, error) {
	id, pre, err := a.change(*in, false)
	if err != nil {
		return nil, err
	}
	return nil, a.live.accounts().Delete(ctx, id, pre)
}

// idempotency returns what makes a write happen once, or nil if its request has no
// key. Its fingerprint must be made of the decoded request: two texts can say the same.
func idempotency(ctx context.Context) *store.Idempotency {
	if key := receivedOf(ctx).key; key != "" {
		return &store.Idempotency{Key: key, Answer: remembered}
	}
	return nil
}

// output turns what a Put or Update returned into an answer.
func output(w store.Written, err error) (*accountOutput, error) {
	switch {
	case err != nil:
		return nil, err
	case w.Replay != nil:
		out := &accountOutput{Replayed: "true"}
		return out, json.Unmarshal(w.Replay, out)
	}
	return written(w), nil
}

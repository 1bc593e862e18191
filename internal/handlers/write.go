package handlers

import (
	"context"
	"encoding/json"

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
	pre := store.Preconditions{Absent: true, Idempotency: receivedOf(ctx).idempotency}
	return output(a.live.accounts().Put(ctx, store.ID(newUUID()), in.value, pre))
}

type putInput struct {
	Target
	IfNoneMatch string `header:"If-None-Match" doc:"* alone is taken: only if there is no such account"`
	jsonBody[store.Draft]
}

func (a accounts) put(ctx context.Context, in *putInput) (*accountOutput, error) {
	if in.IfNoneMatch != "" && in.IfNoneMatch != "*" {
		return nil, malformed("If-None-Match", "must be * here")
	}
	id, pre, err := a.change(in.Target, in.IfNoneMatch == "*")
	if err != nil {
		return nil, err
	}
	return output(a.live.accounts().Put(ctx, id, in.value, pre))
}

type patchInput struct {
	Target
	patch []byte
}

// decode refuses a patch that no account could take. It is merged later, into the
// account as it is then.
func (in *patchInput) decode(text []byte) error {
	in.patch = text
	_, err := in.apply(store.Account{Draft: store.Draft{Name: "any"}})
	return err
}

func (in *patchInput) apply(acc store.Account) (store.Draft, error) {
	if fault := transfer.Merge(in.patch, &acc.Draft); fault != nil {
		return acc.Draft, fault
	}
	return acc.Draft, acc.Draft.Validate()
}

func (a accounts) patch(ctx context.Context, in *patchInput) (*accountOutput, error) {
	id, pre, err := a.change(in.Target, false)
	if err != nil {
		return nil, err
	}
	pre.Idempotency = receivedOf(ctx).idempotency
	return output(a.live.accounts().Update(ctx, id, pre, in.apply))
}

func (a accounts) delete(ctx context.Context, in *Target) (*struct{}, error) {
	id, pre, err := a.change(*in, false)
	if err != nil {
		return nil, err
	}
	return nil, a.live.accounts().Delete(ctx, id, pre)
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

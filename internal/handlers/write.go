package handlers

import (
	"context"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

type createInput struct{ draft store.Draft }

func (in *createInput) decode(text []byte) error { return decodeBody(text, &in.draft) }

func (a accounts) create(ctx context.Context, in *createInput) (*accountOutput, error) {
	pre := store.Preconditions{Absent: true, Idempotency: receivedOf(ctx).idempotency}
	return output(a.live.accounts().Put(ctx, store.ID(newUUID()), in.draft, pre))
}

type putInput struct {
	AccountID
	IfMatch
	IfNoneMatch
	draft store.Draft
}

func (in *putInput) decode(text []byte) error { return decodeBody(text, &in.draft) }

func (a accounts) put(ctx context.Context, in *putInput) (*accountOutput, error) {
	id, match, err := parseTarget(in.ID, in.IfMatch)
	if err != nil {
		return nil, err
	}
	absent := in.IfNoneMatch.IfNoneMatch != ""
	if absent && in.IfNoneMatch.IfNoneMatch != "*" {
		return nil, malformed("If-None-Match", "must be * here")
	}
	if a.requirePreconditions && !match.given() && !absent {
		return nil, errConditionRequired
	}
	pre := match.preconditions()
	pre.Absent = absent
	return output(a.live.accounts().Put(ctx, id, in.draft, pre))
}

type patchInput struct {
	AccountID
	IfMatch
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
	id, match, err := parseTarget(in.ID, in.IfMatch)
	if err != nil {
		return nil, err
	}
	if a.requirePreconditions && !match.given() {
		return nil, errConditionRequired
	}
	pre := match.preconditions()
	pre.Idempotency = receivedOf(ctx).idempotency
	return output(a.live.accounts().Update(ctx, id, pre, in.apply))
}

type deleteInput struct {
	AccountID
	IfMatch
}

func (a accounts) delete(ctx context.Context, in *deleteInput) (*struct{}, error) {
	id, match, err := parseTarget(in.ID, in.IfMatch)
	if err != nil {
		return nil, err
	}
	if a.requirePreconditions && !match.given() {
		return nil, errConditionRequired
	}
	return nil, a.live.accounts().Delete(ctx, id, match.preconditions())
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

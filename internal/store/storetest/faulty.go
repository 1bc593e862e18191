package storetest

import (
	"context"

	"accountservice/internal/store"
)

// Fault is something that happens instead of a call's work; it returns the
// call's error.
type Fault func(ctx context.Context) error

// Hang never ends by itself: it waits for ctx.
func Hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Panic panics.
func Panic(context.Context) error { panic("storetest: ordered panic") }

// Fail returns err at once.
func Fail(err error) Fault { return func(context.Context) error { return err } }

// Faulty is a store in which calls fail as ordered; nil is no fault.
type Faulty struct {
	store.Store
	OnGet, OnList, OnPut, OnDelete Fault
}

// Get implements store.Store.
func (f Faulty) Get(ctx context.Context, id store.ID) (store.Account, error) {
	if f.OnGet != nil {
		return store.Account{}, f.OnGet(ctx)
	}
	return f.Store.Get(ctx, id)
}

// List implements store.Store.
func (f Faulty) List(ctx context.Context, after store.ID, limit int) ([]store.Account, error) {
	if f.OnList != nil {
		return nil, f.OnList(ctx)
	}
	return f.Store.List(ctx, after, limit)
}

// Put implements store.Store.
func (f Faulty) Put(ctx context.Context, id store.ID, draft store.Draft) (store.Account, bool, error) {
	if f.OnPut != nil {
		return store.Account{}, false, f.OnPut(ctx)
	}
	return f.Store.Put(ctx, id, draft)
}

// Delete implements store.Store.
func (f Faulty) Delete(ctx context.Context, id store.ID) error {
	if f.OnDelete != nil {
		return f.OnDelete(ctx)
	}
	return f.Store.Delete(ctx, id)
}

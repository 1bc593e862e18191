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
	OnGet, OnGetMany, OnList, OnPut, OnUpdate, OnDelete, OnImport Fault
}

// Get implements store.Store.
func (f Faulty) Get(ctx context.Context, id store.ID) (store.Account, error) {
	if f.OnGet != nil {
		return store.Account{}, f.OnGet(ctx)
	}
	return f.Store.Get(ctx, id)
}

// GetMany implements store.Store.
func (f Faulty) GetMany(ctx context.Context, ids []store.ID) ([]store.Account, error) {
	if f.OnGetMany != nil {
		return nil, f.OnGetMany(ctx)
	}
	return f.Store.GetMany(ctx, ids)
}

// List implements store.Store.
func (f Faulty) List(ctx context.Context, q store.Query) (store.Page, error) {
	if f.OnList != nil {
		return store.Page{}, f.OnList(ctx)
	}
	return f.Store.List(ctx, q)
}

// Put implements store.Store.
func (f Faulty) Put(ctx context.Context, id store.ID, draft store.Draft, terms store.Preconditions) (store.Written, error) {
	if f.OnPut != nil {
		return store.Written{}, f.OnPut(ctx)
	}
	return f.Store.Put(ctx, id, draft, terms)
}

// Update implements store.Store.
func (f Faulty) Update(ctx context.Context, id store.ID, terms store.Preconditions, change func(store.Account) (store.Draft, error)) (store.Written, error) {
	if f.OnUpdate != nil {
		return store.Written{}, f.OnUpdate(ctx)
	}
	return f.Store.Update(ctx, id, terms, change)
}

// Delete implements store.Store.
func (f Faulty) Delete(ctx context.Context, id store.ID, terms store.Preconditions) error {
	if f.OnDelete != nil {
		return f.OnDelete(ctx)
	}
	return f.Store.Delete(ctx, id, terms)
}

// Import implements store.Store.
func (f Faulty) Import(ctx context.Context, accounts []store.Account) (store.Imported, error) {
	if f.OnImport != nil {
		return store.Imported{}, f.OnImport(ctx)
	}
	return f.Store.Import(ctx, accounts)
}

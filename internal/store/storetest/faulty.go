package storetest

import (
	"context"

	"accountservice/internal/store"
)

// Fault is something that happens instead of a call's work; it returns the call's error.
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

// or makes a call, or gives the fault that was ordered instead.
func or[T any](ctx context.Context, fault Fault, call func() (T, error)) (result T, err error) {
	if fault != nil {
		return result, fault(ctx)
	}
	return call()
}

// Get implements store.Store.
func (f Faulty) Get(ctx context.Context, id store.ID) (store.Account, error) {
	return or(ctx, f.OnGet, func() (store.Account, error) { return f.Store.Get(ctx, id) })
}

// Peek implements store.Store. It knows nothing if Get is to fail.
func (f Faulty) Peek(id store.ID) (*store.Encoded, bool) {
	if f.OnGet != nil {
		return nil, false
	}
	return f.Store.Peek(id)
}

// GetMany implements store.Store.
func (f Faulty) GetMany(ctx context.Context, ids []store.ID) (store.Found, error) {
	return or(ctx, f.OnGetMany, func() (store.Found, error) { return f.Store.GetMany(ctx, ids) })
}

// List implements store.Store.
func (f Faulty) List(ctx context.Context, q store.Query) (store.Page, error) {
	return or(ctx, f.OnList, func() (store.Page, error) { return f.Store.List(ctx, q) })
}

// Put implements store.Store.
func (f Faulty) Put(ctx context.Context, id store.ID, d store.Draft, pre store.Preconditions) (store.Written, error) {
	return or(ctx, f.OnPut, func() (store.Written, error) { return f.Store.Put(ctx, id, d, pre) })
}

// Update implements store.Store.
func (f Faulty) Update(ctx context.Context, id store.ID, pre store.Preconditions,
	change func(store.Account) (store.Draft, error)) (store.Written, error) {
	return or(ctx, f.OnUpdate, func() (store.Written, error) { return f.Store.Update(ctx, id, pre, change) })
}

// Delete implements store.Store.
func (f Faulty) Delete(ctx context.Context, id store.ID, pre store.Preconditions) error {
	_, err := or(ctx, f.OnDelete, func() (struct{}, error) { return struct{}{}, f.Store.Delete(ctx, id, pre) })
	return err
}

// Import implements store.Store.
func (f Faulty) Import(ctx context.Context, accounts []store.Account) (store.Imported, error) {
	return or(ctx, f.OnImport, func() (store.Imported, error) { return f.Store.Import(ctx, accounts) })
}

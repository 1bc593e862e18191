package storetest

import (
	"context"

	"accountservice/internal/store"
)

// Fault is something that happens before a call's work. An error of it is the call's, whose work is not done then.
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

// Faulty is a store in which calls fail as ordered; nil is no fault. Without a Store, calls with a fault do nothing more.
type Faulty struct {
	store.Store
	OnGet, OnGetMany, OnList, OnPut, OnUpdate, OnDelete, OnImport Fault
}

// after makes a call after the fault that was ordered, unless that is an error.
func after[T any](ctx context.Context, f Faulty, fault Fault, call func() (T, error)) (result T, err error) {
	if fault != nil {
		if err := fault(ctx); err != nil || f.Store == nil {
			return result, err
		}
	}
	return call()
}

// Get implements store.Store.
func (f Faulty) Get(ctx context.Context, id store.ID) (store.Account, error) {
	return after(ctx, f, f.OnGet, func() (store.Account, error) { return f.Store.Get(ctx, id) })
}

// Peek implements store.Store. It knows nothing if Get has a fault.
func (f Faulty) Peek(id store.ID) (*store.Encoded, bool) {
	if f.OnGet != nil {
		return nil, false
	}
	return f.Store.Peek(id)
}

// GetMany implements store.Store.
func (f Faulty) GetMany(ctx context.Context, ids []store.ID) (store.Found, error) {
	return after(ctx, f, f.OnGetMany, func() (store.Found, error) { return f.Store.GetMany(ctx, ids) })
}

// List implements store.Store.
func (f Faulty) List(ctx context.Context, q store.Query) (store.Page, error) {
	return after(ctx, f, f.OnList, func() (store.Page, error) { return f.Store.List(ctx, q) })
}

// Put implements store.Store.
func (f Faulty) Put(ctx context.Context, id store.ID, d store.Draft, pre store.Preconditions) (store.Written, error) {
	return after(ctx, f, f.OnPut, func() (store.Written, error) { return f.Store.Put(ctx, id, d, pre) })
}

// Update implements store.Store.
func (f Faulty) Update(ctx context.Context, id store.ID, pre store.Preconditions,
	change func(store.Account) (store.Draft, error)) (store.Written, error) {
	return after(ctx, f, f.OnUpdate, func() (store.Written, error) { return f.Store.Update(ctx, id, pre, change) })
}

// Delete implements store.Store.
func (f Faulty) Delete(ctx context.Context, id store.ID, pre store.Preconditions) error {
	_, err := after(ctx, f, f.OnDelete, func() (struct{}, error) { return struct{}{}, f.Store.Delete(ctx, id, pre) })
	return err
}

// Import implements store.Store.
func (f Faulty) Import(ctx context.Context, accounts []store.Account) (store.Imported, error) {
	return after(ctx, f, f.OnImport, func() (store.Imported, error) { return f.Store.Import(ctx, accounts) })
}

package main

import (
	"context"
	"sync/atomic"

	"accountservice/internal/checks"
	"accountservice/internal/handlers"
	"accountservice/internal/store"
)

// live is the store and the health behind an API that is already served. Both
// can be replaced at any time.
type live struct {
	accounts atomic.Pointer[store.Store]
	health   atomic.Pointer[handlers.Health]
}

func (l *live) SetStore(s store.Store)      { l.accounts.Store(&s) }
func (l *live) SetHealth(h handlers.Health) { l.health.Store(&h) }
func (l *live) now() store.Store            { return *l.accounts.Load() }
func (l *live) Report() *checks.Report      { return (*l.health.Load()).Report() }

func (l *live) Get(ctx context.Context, id store.ID) (store.Account, error) {
	return l.now().Get(ctx, id)
}
func (l *live) GetMany(ctx context.Context, ids []store.ID) ([]store.Account, error) {
	return l.now().GetMany(ctx, ids)
}
func (l *live) List(ctx context.Context, q store.Query) (store.Page, error) {
	return l.now().List(ctx, q)
}
func (l *live) Put(ctx context.Context, id store.ID, d store.Draft, pre store.Preconditions) (store.Written, error) {
	return l.now().Put(ctx, id, d, pre)
}
func (l *live) Update(ctx context.Context, id store.ID, pre store.Preconditions,
	change func(store.Account) (store.Draft, error)) (store.Written, error) {
	return l.now().Update(ctx, id, pre, change)
}
func (l *live) Delete(ctx context.Context, id store.ID, pre store.Preconditions) error {
	return l.now().Delete(ctx, id, pre)
}
func (l *live) Import(ctx context.Context, accounts []store.Account) (store.Imported, error) {
	return l.now().Import(ctx, accounts)
}
func (l *live) Seed(ctx context.Context, seeds []store.Seeding) (int, error) {
	return l.now().Seed(ctx, seeds)
}
func (l *live) Close(ctx context.Context) error { return l.now().Close(ctx) }

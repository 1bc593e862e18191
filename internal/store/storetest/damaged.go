package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"accountservice/internal/store"
)

// Damager damages the records of these accounts in an open store.
type Damager func(t *testing.T, ids ...store.ID)

// RunDamaged checks what the contract of store.Store says of damaged accounts. It is for stores that can have them.
// fresh gives a new and empty store, closed at the end of the test, and what damages it.
func RunDamaged(t *testing.T, fresh func(t *testing.T) (store.Store, Damager)) {
	for name, test := range map[string]func(*testing.T, store.Store, Damager){
		"ReadsLeaveItOutAndNameIt":     readsNameDamaged,
		"PutReplacesIt":                putReplacesDamaged,
		"PreconditionsOnIt":            preconditionsOnDamaged,
		"DeleteRemovesIt":              deleteRemovesDamaged,
		"ImportReplacesIt":             importReplacesDamaged,
		"UpdateRefusesIt":              updateRefusesDamaged,
		"OtherWritesOfTheBatchSucceed": othersBesideDamaged,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, damage := fresh(t)
			seeds(t, s, 100, 100)
			test(t, s, damage)
		})
	}
}

// isDamaged fails the test unless err is ErrDamaged alone.
func isDamaged(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%s = %v, want ErrDamaged", what, err)
	}
}

func readsNameDamaged(t *testing.T, s store.Store, damage Damager) {
	damage(t, "10007", "10042", "10099")
	_, err := s.Get(t.Context(), "10007")
	isDamaged(t, "Get", err)
	if acc, ok := s.Peek("10007"); ok {
		t.Errorf("Peek = %+v", acc)
	}
	get(t, s, "10006")
	get(t, s, "10008")
	wantErr(t, "Get of an id beside it", errOf(s.Get(t.Context(), "100070")), store.ErrNotFound)
	found, err := s.GetMany(t.Context(), []store.ID{"10099", "10008", "10042", "none", "10042"})
	if err != nil || !slices.Equal(idsOf(found.Accounts), []store.ID{"10008"}) || !slices.Equal(found.Damaged, []store.ID{"10099", "10042"}) {
		t.Errorf("GetMany = %+v, %v", found, err)
	}
	for _, q := range []store.Query{{Limit: 1000}, {Limit: 1}, {Limit: 7}, {Limit: 10, Name: "Person_50"}, {Limit: 1000, NamePrefix: "Person_9"}} {
		var ids, damaged []store.ID
		for {
			page, err := s.List(t.Context(), q)
			if err != nil || len(page.Accounts)+len(page.Damaged) > q.Limit {
				t.Fatalf("List(%+v) = %+v, %v", q, page, err)
			}
			ids, damaged = append(ids, idsOf(page.Accounts)...), append(damaged, page.Damaged...)
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		want := map[string]int{"Person_50": 1, "": 97}[q.Name]
		if q.NamePrefix != "" {
			want = 10
		}
		if len(ids) != want || !slices.IsSorted(ids) || !slices.Equal(damaged, []store.ID{"10007", "10042", "10099"}) {
			t.Errorf("List(%+v) = %d accounts, damaged %v; want %d", q, len(ids), damaged, want)
		}
	}
}

func putReplacesDamaged(t *testing.T, s store.Store, damage Damager) {
	damage(t, "10007")
	w, err := s.Put(t.Context(), "10007", store.Draft{Name: "anew"}, store.Preconditions{})
	if acc := w.Account; err != nil || w.Created || acc.Name != "anew" || acc.Version != 1 || !acc.CreatedAt.IsZero() || acc.UpdatedAt.IsZero() {
		t.Errorf("Put = %+v, %v", w, err)
	}
	if got := get(t, s, "10007"); !got.Equal(w.Account) {
		t.Errorf("%+v is stored, want %+v", got, w.Account)
	}
	w, err = s.Put(t.Context(), "10007", store.Draft{Name: "again"}, store.Preconditions{Revisions: []store.Revision{w.Account.Revision()}})
	if err != nil || w.Account.Version != 2 || len(all(t, s)) != 100 {
		t.Errorf("the next Put = %+v, %v", w, err)
	}
}

func preconditionsOnDamaged(t *testing.T, s store.Store, damage Damager) {
	was := get(t, s, "10007")
	damage(t, "10007", "10042")
	for name, c := range map[string]struct {
		pre  store.Preconditions
		want error
	}{
		"absent":              {store.Preconditions{Absent: true}, store.ErrExists},
		"the revision it had": {store.Preconditions{Revisions: []store.Revision{was.Revision()}}, store.ErrDamaged},
		"no revision":         {store.Preconditions{Revisions: []store.Revision{}}, store.ErrDamaged},
		"its version":         {store.Preconditions{ReadOnly: store.Account{Version: was.Version}}, store.ErrDamaged},
		"its times":           {store.Preconditions{ReadOnly: store.Account{CreatedAt: was.CreatedAt}}, store.ErrDamaged},
	} {
		if w, err := s.Put(t.Context(), "10042", store.Draft{Name: "x"}, c.pre); !errors.Is(err, c.want) {
			t.Errorf("%s: Put = %+v, %v, want %v", name, w, err, c.want)
		}
	}
	wantInvalid(t, "Put of no name", errOf(s.Put(t.Context(), "10042", store.Draft{}, store.Preconditions{})), "name")
	_, err := s.Get(t.Context(), "10042")
	isDamaged(t, "Get after refused writes", err)
	if w, err := s.Put(t.Context(), "10042", store.Draft{Name: "x"}, store.Preconditions{Present: true}); err != nil || w.Created {
		t.Errorf("Put of what is there = %+v, %v", w, err)
	}
}

func deleteRemovesDamaged(t *testing.T, s store.Store, damage Damager) {
	damage(t, "10007", "10008")
	isDamaged(t, "Delete of a revision", s.Delete(t.Context(), "10007", store.Preconditions{Revisions: []store.Revision{"1-x"}}))
	if err := s.Delete(t.Context(), "10007", store.Preconditions{Present: true}); err != nil {
		t.Errorf("Delete of what is there: %v", err)
	}
	remove(t, s, "10008")
	for _, id := range []store.ID{"10007", "10008"} {
		wantErr(t, "Get after Delete", errOf(s.Get(t.Context(), id)), store.ErrNotFound)
	}
	if len(all(t, s)) != 98 {
		t.Errorf("%d accounts", len(all(t, s)))
	}
}

func importReplacesDamaged(t *testing.T, s store.Store, damage Damager) {
	backup := all(t, s)
	backup[7].Version = 12
	damage(t, "10007", "10042")
	imports(t, s, backup, store.Imported{Replaced: 2, Unchanged: 98})
	if got := all(t, s); !same(got, backup) {
		t.Errorf("%d accounts after the import, or other ones", len(got))
	}
}

func updateRefusesDamaged(t *testing.T, s store.Store, damage Damager) {
	w, err := s.Update(t.Context(), "10007", once("key", 1), renamed("before"))
	must(t, err)
	damage(t, "10007")
	again, err := s.Update(t.Context(), "10007", once("key", 1), unasked(t))
	if string(again.Replay) != string(answer(w)) || err != nil {
		t.Errorf("Update under a used key = %+v, %v, want its answer", again, err)
	}
	pre := once("new", 1)
	pre.Absent = true
	for _, pre := range []store.Preconditions{{}, {Present: true}, {Revisions: []store.Revision{w.Account.Revision()}}, pre} {
		_, err := s.Update(t.Context(), "10007", pre, unasked(t))
		isDamaged(t, fmt.Sprintf("Update(%+v)", pre), err)
	}
	put(t, s, "10007", "anew")
	if w, err := s.Update(t.Context(), "10007", once("new", 1), renamed("after")); err != nil || w.Account.Name != "after" {
		t.Errorf("Update under the key of a refused one = %+v, %v", w, err)
	}
}

func othersBesideDamaged(t *testing.T, s store.Store, damage Damager) {
	damage(t, "10010", "10020", "10030")
	var writers sync.WaitGroup
	for i := range 100 {
		writers.Go(func() {
			id := store.ID(fmt.Sprint(10000 + i))
			for range 10 {
				_, err := s.Update(t.Context(), id, store.Preconditions{}, func(acc store.Account) (store.Draft, error) {
					return store.Draft{Name: acc.Name + "+"}, nil
				})
				if damaged := i == 10 || i == 20 || i == 30; damaged != errors.Is(err, store.ErrDamaged) || !damaged && err != nil {
					t.Errorf("Update of %s = %v", id, err)
				}
			}
		})
	}
	writers.Wait()
	put(t, s, "10010", "anew")
}

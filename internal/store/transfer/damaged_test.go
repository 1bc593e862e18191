package transfer_test

import (
	"context"
	"strings"
	"testing"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
	"accountservice/tests/harness"
)

func TestLineOfADamagedAccountIsCountedAndStoresNothing(t *testing.T) {
	s := open(t)
	odd, err := transfer.EncodeDamaged("\xff\n\"")
	harness.Must(t, err)
	input := `{"damaged":"a"}` + "\n" + line("b", "2") + ` { "damaged" : "b" }` + "\n" + line("c", "3") + string(odd) + `{"damaged":"z"}`
	for _, most := range []int{1, 2, 1000} {
		done, ended := imports(t, s, input, most, transfer.Options{})
		if ended != nil || done.Damaged != 4 || done.Lines != 6 || done.Created+done.Unchanged != 2 {
			t.Errorf("batches of %d: %+v, %v", most, done, ended)
		}
	}
	if done, ended := imports(t, s, `{"damaged":"z"}`, 10, transfer.Options{}); ended != nil || done.Damaged != 1 || done.Lines != 1 {
		t.Errorf("of that alone: %+v, %v", done, ended)
	}
	if done, ended := imports(t, s, "\ufeff"+input, 10, transfer.Options{}); ended != nil || done.Damaged != 4 || done.Lines != 6 {
		t.Errorf("behind a byte-order mark: %+v, %v", done, ended)
	}
	for _, bad := range []string{`{"damaged":"a","name":"x"}`, `{"damaged":7}`, `{"damaged":null}`, `{"id":"a","name":"x","damaged":"a"}`} {
		if _, ended := imports(t, s, bad, 10, transfer.Options{}); ended == nil || len(ended.Faults) != 1 {
			t.Errorf("%s: %v, want a fault", bad, ended)
		}
	}
}

func TestTallyCountsLinesHoweverTheyAreCut(t *testing.T) {
	lines := `{"id":"damaged"}` + "\n" + `{"damaged":"a"}` + "\n\n" + `{"damaged":"b"}` + "\n" + line("c", "3")
	for size := 1; size <= len(lines); size++ {
		var tally transfer.Tally
		for rest := lines; rest != ""; rest = rest[min(size, len(rest)):] {
			tally.Write([]byte(rest[:min(size, len(rest))]))
		}
		if tally.Accounts != 3 || tally.Damaged != 2 {
			t.Fatalf("in pieces of %d: %+v", size, tally)
		}
	}
}

func TestDryRunReplacesADamagedAccount(t *testing.T) {
	found := store.Found{Accounts: []store.Account{{ID: "a", Draft: store.Draft{Name: "1"}}}, Damaged: []store.ID{"b"}}
	done, ended := imports(t, transfer.DryRun{Store: foundStore{found}}, strings.Join([]string{line("a", "1"), line("b", "2"), line("c", "3")}, ""), 10, transfer.Options{})
	if ended != nil || done.Imported != (store.Imported{Created: 1, Replaced: 1, Unchanged: 1}) {
		t.Errorf("%+v, %v", done, ended)
	}
}

// foundStore finds this.
type foundStore struct{ found store.Found }

func (s foundStore) GetMany(context.Context, []store.ID) (store.Found, error) { return s.found, nil }

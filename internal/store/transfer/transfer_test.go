package transfer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
	"accountservice/internal/store/transfer"
	"accountservice/tests/harness"
)

func open(t testing.TB) store.Store {
	t.Helper()
	s, err := boltstore.Open(t.Context(), boltstore.Options{Path: filepath.Join(t.TempDir(), "accounts.db"), OpenTimeout: time.Second})
	harness.Must(t, err)
	t.Cleanup(func() { harness.Must(t, s.Close(context.Background())) })
	return s
}

func line(id, name string) string { return fmt.Sprintf(`{"id":%q,"name":%q}`+"\n", id, name) }

// lines has n lines of ids in order.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":"n%07d","name":"Person %d","email":"p%d@example.org","labels":{"team":"t"},"version":3,`+
			`"created_at":"2026-01-02T03:04:05.123456Z","updated_at":"2026-01-02T03:04:05.123456Z"}`+"\n", i, i, i)
	}
	return b.String()
}

// imports stores the lines in batches of so many, and returns the *transfer.Error if there is one.
func imports(t testing.TB, to transfer.Target, input string, batch int, opts transfer.Options) (done transfer.Progress, ended *transfer.Error) {
	t.Helper()
	done, err := transfer.Import(t.Context(), transfer.NewReader(strings.NewReader(input), batch), to, opts)
	if err != nil && !errors.As(err, &ended) {
		t.Fatalf("%v is no *transfer.Error", err)
	}
	return done, ended
}

// batches are the line numbers of each batch's accounts.
func batches(t *testing.T, input string, most int) (all [][]int, faults []int) {
	t.Helper()
	for r := transfer.NewReader(strings.NewReader(input), most); ; {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, faults
		}
		harness.Must(t, err)
		all = append(all, b.Lines)
		for _, f := range b.Faults {
			faults = append(faults, f.Line)
		}
	}
}

func TestInputIsCutIntoBatches(t *testing.T) {
	long := strings.Repeat("x", transfer.MaxLine)
	for name, c := range map[string]struct {
		input  string
		want   [][]int
		faults []int
	}{
		"nothing":           {"", nil, nil},
		"empty lines":       {"\n \r\n\t\n", nil, nil},
		"no last line end":  {line("a", "1") + strings.TrimSpace(line("b", "2")), [][]int{{1, 2}}, nil},
		"one more":          {line("a", "1") + "\n" + line("b", "2") + line("c", "3") + line("d", "4"), [][]int{{1, 3, 4}, {5}}, nil},
		"exactly full":      {line("a", "1") + line("b", "2") + line("c", "3"), [][]int{{1, 2, 3}}, nil},
		"an id again":       {line("a", "1") + line("b", "2") + line("a", "3") + line("a", "4") + line("c", "5"), [][]int{{1, 2, 3}, {4, 5}}, nil},
		"faults":            {line("a", "1") + "{\n" + line("b", "2") + line("c", "") + line("d", "5"), [][]int{{1, 3, 5}}, []int{2, 4}},
		"too long":          {line("a", "1") + line("b", long) + line("c", "3"), [][]int{{1}}, []int{2}},
		"too long, no end":  {long + long, [][]int{nil}, []int{1}},
		"too many empty":    {line("a", "1") + strings.Repeat("\n", transfer.MaxLine+1) + line("b", "2"), [][]int{{1}}, []int{transfer.MaxLine + 2}},
		"as many empty":     {strings.Repeat("\n", transfer.MaxLine) + line("a", "1"), [][]int{{transfer.MaxLine + 1}}, nil},
		"just short enough": {strings.Repeat(" ", transfer.MaxLine-len(line("a", "1"))) + line("a", "1"), [][]int{{1}}, nil},
	} {
		got, faults := batches(t, c.input, 3)
		if !slices.EqualFunc(got, c.want, slices.Equal[[]int]) || !slices.Equal(faults, c.faults) {
			t.Errorf("%s: %v, faults in %v; want %v, %v", name, got, faults, c.want, c.faults)
		}
	}
	label := strings.Repeat("y", 200)
	var large strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&large, `{"id":"n%d","name":"x","labels":{"a":%q,"b":%q,"c":%q,"d":%q,"e":%q}}`+"\n", i, label, label, label, label, label)
	}
	if got, _ := batches(t, large.String(), store.MaxMany); len(got) != 2 || len(got[0])*1000 > 5<<20 {
		t.Errorf("%d batches of %d bytes, want 2", len(got), large.Len())
	}
}

func TestImportedIsExportedByteForByte(t *testing.T) {
	s, input := open(t), lines(2500)
	for i, want := range []store.Imported{{Created: 2500}, {Unchanged: 2500}} {
		var seen []int
		done, ended := imports(t, s, input, 1000, transfer.Options{Done: func(p transfer.Progress) { seen = append(seen, p.Lines) }})
		if ended != nil || done.Imported != want || done.Lines != 2500 || !slices.Equal(seen, []int{1000, 2000, 2500}) {
			t.Errorf("import %d: %+v, %v, %v", i+1, done, seen, ended)
		}
	}
	var out bytes.Buffer
	if err := transfer.Export(t.Context(), s, &out, time.Minute); err != nil || out.String() != input {
		t.Errorf("%v: %d bytes of %d", err, out.Len(), len(input))
	}
}

func TestEmptyLinesAtTheEndAreCounted(t *testing.T) {
	for input, want := range map[string]int{"": 0, "\n \n": 2, line("a", "1") + "\n\n": 3, line("a", "1") + line("b", "1") + "\n\t": 4} {
		if done, ended := imports(t, open(t), input, 2, transfer.Options{}); ended != nil || done.Lines != want {
			t.Errorf("%q: %+v, %v; want %d lines", input, done, ended, want)
		}
	}
}

func TestCheckReadsOnButNotForEver(t *testing.T) {
	s := open(t)
	_, err := s.Import(t.Context(), []store.Account{{ID: "a", Draft: store.Draft{Name: "1"}}, {ID: "b", Draft: store.Draft{Name: "2"}}})
	harness.Must(t, err)
	input := line("a", "1") + "{\n" + line("b", "new") + line("c", "3") + "[\n" + line("d", "4")
	check := transfer.Options{ReadOn: true}
	done, ended := imports(t, transfer.DryRun{Store: s}, input, 2, check)
	if ended == nil || len(ended.Faults) != 2 || ended.Faults[1].Line != 5 || done.Imported != (store.Imported{Created: 2, Replaced: 1, Unchanged: 1}) {
		t.Errorf("%+v, %v", done, ended)
	}
	if acc, err := s.Get(t.Context(), "b"); err != nil || acc.Name != "2" {
		t.Errorf("a dry run changed %+v, %v", acc, err)
	}
	_, ended = imports(t, transfer.DryRun{Store: s}, strings.Repeat("{\n", 10_000), 10, check)
	if ended == nil || len(ended.Faults) != transfer.MaxFaults {
		t.Errorf("%v", ended)
	}
}

func TestEndOfTheContextEndsAnImportBetweenBatches(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	done, err := transfer.Import(ctx, transfer.NewReader(strings.NewReader(lines(50)), 10), s, transfer.Options{
		Done: func(p transfer.Progress) {
			if p.Lines == 20 {
				cancel()
			}
		}})
	var ended *transfer.Error
	if !errors.As(err, &ended) || !errors.Is(err, context.Canceled) || ended.First != 21 || done.Created != 20 {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestStoreThatFailsEndsAnImport(t *testing.T) {
	for _, c := range []struct {
		fault storetest.Fault
		is    error
		want  string
	}{
		{storetest.Fail(store.ErrNoSpace), store.ErrNoSpace, "No line is stored."},
		{storetest.Fail(store.ErrOutcomeUnknown), store.ErrOutcomeUnknown, "The lines to 10 may be stored, none after them."},
		{storetest.Hang, context.DeadlineExceeded, "No line is stored."},
	} {
		s := storetest.Faulty{Store: open(t), OnImport: c.fault}
		_, ended := imports(t, s, lines(50), 10, transfer.Options{Timeout: 10 * time.Millisecond})
		if ended == nil || !errors.Is(ended, c.is) || ended.Stored() != c.want {
			t.Errorf("%v, want %v and %q", ended, c.is, c.want)
		}
	}
}

func BenchmarkImport(b *testing.B) {
	s, input := open(b), lines(10_000)
	for b.Loop() {
		imports(b, s, input, store.MaxMany, transfer.Options{})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*10_000), "ns/account")
}

func BenchmarkExport(b *testing.B) {
	s := open(b)
	imports(b, s, lines(10_000), store.MaxMany, transfer.Options{})
	for b.Loop() {
		harness.Must(b, transfer.Export(b.Context(), s, io.Discard, time.Minute))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*10_000), "ns/account")
}

// What is there can be far larger than what is sent.
func TestDryRunOverLargeAccountsCountsThemAll(t *testing.T) {
	s := open(t)
	labels := make(map[string]string)
	for i := range store.MaxLabels {
		labels[fmt.Sprint("k", i)] = strings.Repeat("日", store.MaxLabelLength)
	}
	there, sent := make([]store.Account, 300), make([]store.Account, 400)
	for i := range sent {
		sent[i] = store.Account{ID: store.ID(fmt.Sprint(i)), Draft: store.Draft{Name: "x"}}
		if i < len(there) {
			there[i] = sent[i]
			there[i].Labels = labels
		}
	}
	sent[7] = there[7]
	_, err := s.Import(t.Context(), there)
	harness.Must(t, err)
	n, err := transfer.DryRun{Store: s}.Import(t.Context(), sent)
	if want := (store.Imported{Created: 100, Replaced: 299, Unchanged: 1}); n != want || err != nil {
		t.Errorf("%+v, %v; want %+v", n, err, want)
	}
}

// pack compresses text in members of gzip, as files that were joined have.
func pack(t *testing.T, texts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, text := range texts {
		z := gzip.NewWriter(&b)
		_, err := io.WriteString(z, text)
		harness.Must(t, err)
		harness.Must(t, z.Close())
	}
	return b.Bytes()
}

func TestGzipIsReadAsItsLines(t *testing.T) {
	varied := strings.NewReplacer("Person 1", "Piet 1", "p3", "q3").Replace(lines(3000))
	for name, c := range map[string]struct {
		input []byte
		lines int    // that are taken
		fault string // or none
	}{
		"one member":        {pack(t, varied), 3000, ""},
		"two members":       {pack(t, line("a", "1"), line("b", "2")), 2, ""},
		"marks":             {pack(t, "\ufeff"+line("a", "1"), "\ufeff"+line("b", "2")), 2, ""},
		"nothing":           {pack(t, ""), 0, ""},
		"a mark alone":      {pack(t, "\ufeff\n"), 0, ""},
		"cut":               {pack(t, varied)[:60], 0, "line 1: #: is damaged or cut gzip; nothing after it was read"},
		"cut in its header": {pack(t, varied)[:5], 0, "line 1: #: is damaged or cut gzip"},
		"cut at its end":    {pack(t, line("a", "1"))[:30], 0, "line 1: #: is damaged or cut gzip"},
		"a tail":            {append(pack(t, line("a", "1")), "tail"...), 1, "line 2: #: is damaged or cut gzip"},
		"a bomb":            {pack(t, strings.Repeat(strings.Repeat(" ", 200<<10)+line("a", "1"), 80)), 7, "is gzip that expands more than 256 times"},
		"of empty lines":    {pack(t, line("a", "1"), strings.Repeat("\n", 16<<20)), 1, "line 262146: #: comes after more than 262144 bytes of empty lines"},
		"a bomb of a line":  {pack(t, strings.Repeat(" ", 16<<20)), 0, "is longer than 262144 bytes"},
		"gzip in gzip":      {pack(t, string(pack(t, line("a", "1")))), 0, "line 1: #: is not valid"},
		"UTF-16":            {[]byte("\xff\xfe{\x00"), 0, "line 1: #: is UTF-16; it must be UTF-8"},
		"one byte":          {[]byte("\x1f"), 0, "line 1: #: is not valid JSON"},
	} {
		taken, faults := 0, ""
		for r := transfer.NewReader(iotest.OneByteReader(bytes.NewReader(c.input)), store.MaxMany); ; {
			batch, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			harness.Must(t, err)
			taken += len(batch.Accounts)
			for _, f := range batch.Faults {
				faults += f.Error()
			}
		}
		if taken != c.lines || !strings.Contains(faults, c.fault) || (faults == "") != (c.fault == "") {
			t.Errorf("%s: %d lines, %s; want %d, %s", name, taken, faults, c.lines, c.fault)
		}
	}
}

func TestErrorOfTheInputIsNoFaultInItsGzip(t *testing.T) {
	input, broken := pack(t, lines(5000)), errors.New("the connection is gone")
	r := transfer.NewReader(io.MultiReader(bytes.NewReader(input[:len(input)/2]), iotest.ErrReader(broken)), 10_000)
	if _, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("Next = %v, want the input's error", err)
	}
}

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

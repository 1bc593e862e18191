package boltstore_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
)

// clock is a time that tests set.
type clock struct{ atomic.Pointer[time.Time] }

// clocked is a new store with such a clock.
func clocked(t *testing.T) (s *boltstore.Store, path string, c *clock) {
	t.Helper()
	path, c = filepath.Join(t.TempDir(), "accounts.db"), &clock{}
	c.set(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))
	return openWith(t, path, c.now), path, c
}

func (c *clock) now() time.Time          { return *c.Load() }
func (c *clock) set(t time.Time)         { c.Store(&t) }
func (c *clock) advance(d time.Duration) { c.set(c.now().Add(d)) }

// once returns the preconditions of a write under this key, whose answer is its version and key.
func once(key string) store.Preconditions {
	return store.Preconditions{Idempotency: &store.Idempotency{Key: key, Fingerprint: fingerprint(key), Answer: func(w store.Written) []byte {
		return fmt.Appendf(nil, "%d %s", w.Account.Version, key)
	}}}
}

func fingerprint(key string) (f store.Fingerprint) {
	copy(f[:], boltfile.AnswerKey("print of "+key))
	return f
}

// writes makes the content of each write another one.
var writes atomic.Int64

func putOnce(t *testing.T, s *boltstore.Store, id store.ID, key string) store.Written {
	t.Helper()
	w, err := s.Put(t.Context(), id, store.Draft{Name: fmt.Sprint("write ", writes.Add(1))}, once(key))
	must(t, err)
	return w
}

// wantReplay wants a write under this key to repeat this answer.
func wantReplay(t *testing.T, s *boltstore.Store, id store.ID, key, answer string) {
	t.Helper()
	if w := putOnce(t, s, id, key); string(w.Replay) != answer {
		t.Errorf("Put = %+v, want the answer %q again", w, answer)
	}
}

// kept counts the records of both buckets of answers.
func kept(t *testing.T, path string) (answers, ages int) {
	t.Helper()
	_, snap := snapshotAt(t, path)
	for name, n := range map[string]*int{string(boltfile.AnswerBucket): &answers, string(boltfile.AgeBucket): &ages} {
		b, err := snap.Bucket([]byte(name))
		must(t, errors.Join(err, b.After(nil, func(_, _ []byte) bool { *n++; return true })))
	}
	return answers, ages
}

// put writes without a key, and with it what is too old may go.
func put(t *testing.T, s *boltstore.Store) {
	t.Helper()
	must(t, putName(t, s, "2", "x"))
}

func wantKept(t *testing.T, path string, want int) {
	t.Helper()
	if answers, ages := kept(t, path); answers != want || ages != want {
		t.Errorf("%d answers, %d ages; want %d", answers, ages, want)
	}
}

func TestAnswersOlderThanADayGoAwayWithAnyWrite(t *testing.T) {
	t.Parallel()
	s, path, c := clocked(t)
	const old = 300 // more than one write removes
	for i := range old {
		putOnce(t, s, "1", fmt.Sprint("old ", i))
	}
	c.advance(store.IdempotencyRetention - time.Microsecond)
	putOnce(t, s, "1", "young")
	wantKept(t, path, old+1)
	c.advance(time.Microsecond)
	put(t, s)
	wantKept(t, path, old+1) // they are looked for once a minute
	c.advance(time.Minute)
	await(t, "all that is old gone", func() bool { // some with each write
		put(t, s)
		answers, _ := kept(t, path)
		return answers == 1
	})
	wantKept(t, path, 1)
	if w := putOnce(t, s, "1", "young"); w.Replay == nil {
		t.Error("an answer is gone before its time")
	}
	closesIntact(t, s, path)
}

func TestClockSetBackKeepsAnswersAndHoldsUpNoPurge(t *testing.T) {
	t.Parallel()
	s, path, c := clocked(t)
	putOnce(t, s, "1", "old")
	now := c.now()
	c.advance(10 * store.IdempotencyRetention)
	put(t, s)
	wantKept(t, path, 0)
	c.set(now)
	putOnce(t, s, "1", "old")
	c.set(now.Add(-1000 * time.Hour))
	wantReplay(t, s, "1", "old", "2 old")
	c.set(now.Add(store.IdempotencyRetention))
	put(t, s)
	wantKept(t, path, 0)
}

func TestDamagedAgesAndAnswersGoAwayWithTheOldOnes(t *testing.T) {
	t.Parallel()
	s, path, c := clocked(t)
	putOnce(t, s, "1", "old")
	putOnce(t, s, "1", "damaged")
	must(t, s.CommitForTest(func(tx *bbolt.Tx) error {
		ages := tx.Bucket(boltfile.AgeBucket)
		last, _ := ages.Cursor().Last()
		return errors.Join(ages.Put([]byte{0}, []byte("first of all, and no age")), flip(boltfile.AgeBucket, last)(tx),
			flip(boltfile.AnswerBucket, boltfile.AnswerKey("damaged"))(tx))
	}))
	c.advance(store.IdempotencyRetention)
	put(t, s)
	wantKept(t, path, 0)
}

// What cannot be read stays, costs no write its commit, and is left alone for a while.
func TestOldAnswersThatCannotBeReadHoldUpNoWrite(t *testing.T) {
	t.Parallel()
	s, path, c := clocked(t)
	for i := range 300 {
		putOnce(t, s, "1", fmt.Sprint("old ", i))
	}
	m, snap := snapshotAt(t, path)
	ages, err := snap.Bucket(boltfile.AgeBucket)
	must(t, err)
	answers, err := snap.Bucket(boltfile.AnswerBucket)
	must(t, err)
	first, _, err := ages.Leaf(nil)
	must(t, err)
	leaf, _, err := answers.Leaf(first.Key(0)[8:])
	must(t, err)
	whole, at := make([]byte, 2), int64(leaf.ID)*m.PageSize+8
	must(t, errOf(snap.File.ReadAt(whole, at)))
	spoil(t, path, at, []byte{0xa5, 0xa5})
	c.advance(store.IdempotencyRetention)
	for range 3 {
		put(t, s)
	}
	must(t, s.Check(t.Context()))
	spoil(t, path, at, whole)
	c.advance(time.Minute - time.Nanosecond)
	put(t, s)
	wantKept(t, path, 300)
	c.advance(time.Nanosecond)
	put(t, s)
	if answers, _ := kept(t, path); answers == 300 {
		t.Error("old answers are not looked for again")
	}
}

func TestKeyUsedAgainAfterADayLeavesOneAnswer(t *testing.T) {
	t.Parallel()
	s, path, c := clocked(t)
	putOnce(t, s, "1", "older")
	putOnce(t, s, "1", "key")
	c.advance(store.IdempotencyRetention)
	if w := putOnce(t, s, "1", "key"); w.Replay != nil || w.Account.Version != 3 { // in the batch that purges the old one
		t.Errorf("Put = %+v, want a new write", w)
	}
	wantKept(t, path, 1)
	wantReplay(t, s, "1", "key", "3 key")
}

func TestWritesThatChangeNothingCommitNothing(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	putOnce(t, s, "1", "key")
	acc, err := s.Get(t.Context(), "10001")
	must(t, err)
	before := metaAt(t, path).TxID
	other := once("key")
	other.Idempotency.Fingerprint[0] ^= 1
	for _, c := range []struct {
		id   store.ID
		pre  store.Preconditions
		want error
	}{
		{"1", once("key"), nil},
		{"10001", store.Preconditions{Absent: true}, store.ErrExists},
		{"10001", store.Preconditions{Revisions: []store.Revision{"9-none"}}, store.ErrVersion},
		{"10001", other, store.ErrKeyReused},
	} {
		wantErr(t, errOf(s.Put(t.Context(), c.id, store.Draft{Name: "x"}, c.pre)), c.want)
	}
	must(t, errOf(s.Import(t.Context(), []store.Account{acc})))
	must(t, errOf(s.Import(t.Context(), nil)))
	if after := metaAt(t, path).TxID; after != before {
		t.Errorf("%d transactions were committed", after-before)
	}
	if w, err := s.Put(t.Context(), acc.ID, acc.Draft, store.Preconditions{}); err != nil || !w.Account.Equal(acc) {
		t.Errorf("Put of the same content = %+v, %v", w, err)
	}
	if after := metaAt(t, path).TxID; after != before+1 { // it says that the content is on the disk
		t.Errorf("%d transactions were committed, want that of the same content", after-before)
	}
}

// A replay of a write that is in the same batch must not be acknowledged before that one is.
func TestAnswersOfAFailedBatchAreNotAcknowledged(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	release := blocked(t, s)
	errs := make(chan error, 3)
	enqueue := func(n int, do func() error) {
		go func() { errs <- do() }()
		await(t, "the write in the queue", func() bool { return s.QueuedForTest() >= n })
	}
	put := func(pre store.Preconditions) func() error {
		return func() error { _, err := s.Put(t.Context(), "1", store.Draft{Name: "x"}, pre); return err }
	}
	enqueue(1, put(once("key")))
	enqueue(2, put(once("key")))                       // would replay
	enqueue(3, put(store.Preconditions{Absent: true})) // would meet an account that never was
	enqueue(4, func() error {                          // what follows fails as a broken disk does
		return s.CommitForTest(func(*bbolt.Tx) error { refuseWrites(t, path); return nil })
	})
	release()
	for range 4 {
		wantErr(t, <-errs, store.ErrOutcomeUnknown)
	}
}

func TestAnswerThatCannotBeMadeChangesNothing(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 1)
	for name, answer := range map[string]func(store.Written) []byte{
		"panics":   func(store.Written) []byte { panic("ordered") },
		"too long": func(store.Written) []byte { return make([]byte, store.MaxAnswer+1) },
	} {
		_, err := s.Put(t.Context(), "1", store.Draft{Name: "x"}, store.Preconditions{Idempotency: &store.Idempotency{Key: "k", Answer: answer}})
		if err == nil || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want an error of the caller's own", name, err)
		}
	}
	wantErr(t, errOf(s.Get(t.Context(), "1")), store.ErrNotFound)
	putOnce(t, s, "1", "k") // the store goes on
}

// Four of the largest are what bbolt leaves on one page at most.
func TestLargestAccountsAndAnswersCanBeRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "accounts.db")
	s := openAt(t, path)
	draft := store.Draft{Name: "x", Labels: make(map[string]string)}
	for i := range store.MaxLabels {
		draft.Labels[fmt.Sprintf("k%0*d", store.MaxLabelKeyLength-1, i)] = strings.Repeat("\u2028", store.MaxLabelLength)
	}
	answer := bytes.Repeat([]byte("a"), store.MaxAnswer)
	for i := range 12 {
		pre := once(fmt.Sprint(i))
		pre.Idempotency.Answer = func(store.Written) []byte { return answer }
		must(t, errOf(s.Put(t.Context(), store.ID(fmt.Sprint(i)), draft, pre)))
	}
	for i := range 12 {
		acc, err := s.Get(t.Context(), store.ID(fmt.Sprint(i)))
		if err != nil || !acc.Draft.Equal(draft) {
			t.Errorf("Get(%d): %v", i, err)
		}
		if got, err := storetest.Lookup(t, s, fmt.Sprint(i), fingerprint(fmt.Sprint(i))); err != nil || !bytes.Equal(got, answer) {
			t.Errorf("Lookup(%d): %d bytes, %v", i, len(got), err)
		}
	}
	closesIntact(t, s, path)
}

func TestADamagedAnswerIsNeverRepeatedOrWrittenOver(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 1)
	putOnce(t, s, "1", "key")
	putOnce(t, s, "2", "other")
	must(t, s.CommitForTest(flip(boltfile.AnswerBucket, boltfile.AnswerKey("key"))))
	wantErr(t, errOf(s.Put(t.Context(), "1", store.Draft{Name: "x"}, once("key"))), store.ErrUnavailable)
	wantErr(t, errOf(storetest.Lookup(t, s, "key", fingerprint("key"))), store.ErrUnavailable)
	wantReplay(t, s, "2", "other", "1 other")
}

// TestDatabaseFromBeforeAnswersOpens opens a file that the version before emails, labels and answers wrote.
func TestDatabaseFromBeforeAnswersOpens(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/before-answers.db.gz")
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	content, err := io.ReadAll(z)
	must(t, err)
	path := filepath.Join(t.TempDir(), "accounts.db")
	writeFile(t, path, content)
	s := openAt(t, path)
	if n := len(all(t, s)); n != 30 {
		t.Errorf("%d accounts, want 30: 29 seeded ones and one of the tutorial", n)
	}
	acc, err := s.Get(t.Context(), "10015")
	if err != nil || acc.Name != "Zoë 5" || acc.Version != 2 || acc.Email != "" || acc.Labels != nil || !acc.CreatedAt.Before(acc.UpdatedAt) {
		t.Errorf("account = %+v, %v", acc, err)
	}
	wantErr(t, errOf(storetest.Lookup(t, s, "key", fingerprint("key"))), store.ErrNotFound)
	if done, err := s.Import(t.Context(), []store.Account{{ID: "10015", Draft: store.Draft{Name: "Zoë 5"}}, {ID: "9", Draft: store.Draft{Name: "Tutorial"}}}); err != nil || done.Unchanged != 2 {
		t.Errorf("Import = %+v, %v; want both left alone", done, err)
	}
	if w := putOnce(t, s, "10015", "key"); w.Account.Version != 3 || w.Account.CreatedAt != acc.CreatedAt {
		t.Errorf("Put = %+v", w)
	}
	storetest.Close(t, s)
	if report, err := verified(t, path); err != nil || !report.Intact || report.Unchecked != 1 {
		t.Errorf("verify: %+v, %v", report, err)
	}
	s = openAt(t, path)
	if got, err := storetest.Lookup(t, s, "key", fingerprint("key")); string(got) != "3 key" || err != nil {
		t.Errorf("Lookup = %q, %v", got, err)
	}
}

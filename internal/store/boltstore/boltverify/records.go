package boltverify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"accountservice/internal/store/boltstore/boltfile"
)

// buckets are what a walk found in the bucket of buckets.
type buckets struct {
	ours          map[string]bool // by name
	others        []string        // the first of those that are not ours
	answers, ages int             // records
	own           map[string]bool // records of this service itself, by key
}

// maxOthers bounds how many buckets that are not ours a finding names.
const maxOthers = 10

// topLevel is the visit of the bucket of buckets.
func (w *walker) topLevel(p boltfile.Page, i int) {
	name := p.Key(i)
	if !p.IsBucket(i) {
		w.find(at(p.ID), "%.80q is outside of any bucket", name)
		return
	}
	visits := map[string]visit{
		string(boltfile.AccountBucket): w.account,
		string(boltfile.MetaBucket):    w.own,
		string(boltfile.AnswerBucket):  w.counted(&w.buckets.answers, "answer", checkAnswer),
		string(boltfile.AgeBucket):     w.counted(&w.buckets.ages, "age of an answer", boltfile.CheckAge),
	}
	each, ours := visits[string(name)]
	if ours {
		w.buckets.ours[string(name)] = true
	} else if each = w.foreign; len(w.buckets.others) < maxOthers {
		w.buckets.others = append(w.buckets.others, fmt.Sprintf("%.80s", name))
	}
	if w.skim && ours && !bytes.Equal(name, boltfile.MetaBucket) {
		w.leafDepth = 0
		each = func(boltfile.Page, int) {}
	}
	w.open(p, i, each)
	w.leafDepth = -1
}

// complete checks that the buckets are those of this service, or the tutorial's.
func (w *walker) complete() {
	b := &w.buckets
	has := func(name []byte) bool { return b.ours[string(name)] }
	ours, accounts := has(boltfile.MetaBucket), has(boltfile.AccountBucket)
	answers, ages := has(boltfile.AnswerBucket), has(boltfile.AgeBucket)
	switch {
	case !ours && !accounts && len(b.others) == 0 && w.broken > 0: // what would name them cannot be read
		return
	case !ours && !accounts:
		w.find("buckets", "it is another program's database: it has %q and not %s", b.others, boltfile.AccountBucket)
		return
	case !accounts:
		w.find("buckets", "%s, with the accounts, is gone", boltfile.AccountBucket)
	case !ours && (w.report.Accounts > w.report.Unchecked || answers):
		w.find("buckets", "%s is gone, and records of this service are there", boltfile.MetaBucket)
	}
	for _, key := range [][]byte{boltfile.SentinelKey, boltfile.IdentityKey} {
		if ours && accounts && !b.own[string(key)] {
			w.report.findOwn("buckets", "%s has no record %q", boltfile.MetaBucket, key)
		}
	}
	find := w.find
	if answers && ages {
		find = w.report.findMinor
	}
	if answers != ages || b.answers != b.ages {
		find("buckets", "%s has %d records and %s %d", boltfile.AnswerBucket, b.answers, boltfile.AgeBucket, b.ages)
	}
	if len(b.others) > 0 {
		w.find("buckets", "%q are not of this service", b.others)
	}
}

func (w *walker) account(p boltfile.Page, i int) {
	if !w.isRecord(p, i) {
		return
	}
	key, record := p.Key(i), p.Value(i)
	where := fmt.Sprintf("account %.80q on page %d", key, p.ID)
	w.report.Accounts++
	acc, err := boltfile.DecodeAccount(key, record)
	if w.salvaged != nil {
		w.salvaged(acc, err)
	}
	if boltfile.IsLegacy(record) {
		w.report.Unchecked++
	}
	switch {
	case err != nil:
		w.report.damaged(key)
		w.find(where, "%v", err)
	case boltfile.IsLegacy(record):
		w.tutorial(where, key, record)
	}
}

// tutorial checks what can be checked of a record without checksum.
func (w *walker) tutorial(where string, key, record []byte) {
	var c struct {
		ID   any // the service does not read it
		Name string
	}
	err := json.Unmarshal(record, &c)
	id, is := c.ID.(string)
	switch {
	case err != nil:
		w.report.findMinor(where, "%v", err)
	case !utf8.Valid(record) || c.Name == "":
		w.report.findMinor(where, "its record is damaged: it has no name, or not in UTF-8")
	case is && id != string(key):
		w.report.findMinor(where, "its record is of account %.80q", id)
	}
}

func (w *walker) own(p boltfile.Page, i int) {
	if !w.isRecord(p, i) {
		return
	}
	where := fmt.Sprintf("%s, record %.80q on page %d", boltfile.MetaBucket, p.Key(i), p.ID)
	w.buckets.own[string(p.Key(i))] = true
	if _, err := boltfile.UnsealOwn(p.Key(i), p.Value(i)); err != nil {
		w.report.findOwn(where, "%v", err)
	}
}

// counted is the visit of records that check decodes.
func (w *walker) counted(n *int, what string, check func(key, record []byte) error) visit {
	return func(p boltfile.Page, i int) {
		if !w.isRecord(p, i) {
			return
		}
		*n++
		if err := check(p.Key(i), p.Value(i)); err != nil {
			w.report.findMinor(at(p.ID), "%s %.80x: %v", what, p.Key(i), err)
		}
	}
}

func checkAnswer(key, record []byte) error {
	_, err := boltfile.DecodeAnswer(key, record)
	return err
}

// foreign is the visit of what is not this service's: its pages have a use.
func (w *walker) foreign(p boltfile.Page, i int) {
	if p.IsBucket(i) {
		w.open(p, i, w.foreign)
	}
}

// isRecord says whether element i of p is a record, as every element of our buckets is.
func (w *walker) isRecord(p boltfile.Page, i int) bool {
	if p.IsRecord(i) {
		return true
	}
	w.find(at(p.ID), "%.80q is no record but a bucket, or unknown", p.Key(i))
	w.foreign(p, i)
	return false
}

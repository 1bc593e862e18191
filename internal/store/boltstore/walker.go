package boltstore

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"unicode/utf8"
)

// Types of pages that pages.go does not read.
const (
	metaPage     = 0x04
	freelistPage = 0x10
	noFreelist   = ^uint64(0) // in place of its page: the file has none
	manyFree     = 0xFFFF     // as count: the first element is the count
)

// walker reads every page of a database, by pread and with every bound
// checked: no damage ends it. It holds pages to more than bbolt does. bbolt
// packs elements without gaps and names a child by its first key, so that a
// count, length or position that changed shows, though all can still be read.
type walker struct {
	file     *os.File
	pageSize int64
	uses     []byte // of each page below the high-water mark
	find     func(where, format string, args ...any)

	accounts, legacy int
	answers, ages    int
	free             int64
	names            [][]byte // of the buckets
	sentinel         bool
}

const (
	unused = iota
	inUse
	onFreelist
)

// walk reads all that hangs on a meta page: the bucket of buckets and the list
// of free pages.
func (w *walker) walk(root, freelist uint64) {
	w.uses[0], w.uses[1] = inUse, inUse
	w.bucket("the newest meta page", root, w.topLevel)
	w.complete()
	if freelist == noFreelist {
		return
	}
	w.freelist(freelist)
	lost, first := 0, 0
	for id, use := range w.uses {
		if use == unused {
			if lost == 0 {
				first = id
			}
			lost++
		}
	}
	if lost > 0 {
		w.find(at(uint64(first)), "is neither in use nor free, one of %d such pages", lost)
	}
}

func at(id uint64) string { return fmt.Sprint("page ", id) }

// visit is called with each element of a bucket's leaf pages.
type visit func(p page, i int)

// topLevel is the visit of the bucket of buckets.
func (w *walker) topLevel(p page, i int) {
	name := p.key(i)
	if p.u32(i, 0) != bucketFlag {
		w.find(at(p.id), "%.80q is outside of any bucket", name)
		return
	}
	w.names = append(w.names, name)
	switch {
	case bytes.Equal(name, accountBucket):
		w.open(p, i, w.account)
	case bytes.Equal(name, metaBucket):
		w.open(p, i, w.own)
	case bytes.Equal(name, answerBucket):
		w.open(p, i, w.answer)
	case bytes.Equal(name, ageBucket):
		w.open(p, i, w.age)
	default:
		w.open(p, i, w.foreign)
	}
}

// complete checks that the buckets are those of this service, or the tutorial's.
func (w *walker) complete() {
	var ours, accounts, answers, ages bool
	var others [][]byte
	for _, name := range w.names {
		switch {
		case bytes.Equal(name, accountBucket):
			accounts = true
		case bytes.Equal(name, metaBucket):
			ours = true
		case bytes.Equal(name, answerBucket):
			answers = true
		case bytes.Equal(name, ageBucket):
			ages = true
		default:
			others = append(others, name)
		}
	}
	switch {
	case !ours && !accounts:
		w.find("buckets", "it is another program's database: it has %.80q and not %s", others, accountBucket)
		return
	case !accounts:
		w.find("buckets", "%s, with the accounts, is gone", accountBucket)
	case !ours && (w.accounts > w.legacy || answers):
		w.find("buckets", "%s is gone, and records of this service are there", metaBucket)
	case ours && !w.sentinel:
		w.find("buckets", "%s has no record %.80q", metaBucket, sentinelKey)
	}
	if answers != ages || w.answers != w.ages {
		w.find("buckets", "%s has %d records and %s %d", answerBucket, w.answers, ageBucket, w.ages)
	}
	if len(others) > 0 {
		w.find("buckets", "%.80q are not of this service", others)
	}
}

// open walks the bucket that element i of p is.
func (w *walker) open(p page, i int, each visit) {
	where, v := fmt.Sprintf("page %d: bucket %.80q", p.id, p.key(i)), p.value(i)
	if len(v) < bucketSize {
		w.find(where, "is damaged")
		return
	}
	root := binary.NativeEndian.Uint64(v)
	if root != 0 {
		if len(v) != bucketSize {
			w.find(where, "is damaged")
		}
		w.bucket(where, root, each)
		return
	}
	inline, ok := w.parse(where, v[bucketSize:], 0)
	switch {
	case !ok:
	case inline.flags != leafPage || inline.end() != len(inline.b):
		w.find(where, "is damaged")
	default:
		inline.id = p.id // where it is read
		for i := range inline.count {
			each(inline, i)
		}
	}
}

// bucket walks the tree of a bucket from its root.
func (w *walker) bucket(from string, root uint64, each visit) {
	var last []byte
	w.tree(from, root, 0, func(p page, i int) {
		key := p.key(i)
		if last != nil && bytes.Compare(last, key) >= 0 {
			w.find(at(p.id), "%.80q comes after %.80q", key, last)
		}
		last = key
		each(p, i)
	})
}

// tree walks a page and those below it and returns its first key, if it can.
func (w *walker) tree(from string, id uint64, depth int, each visit) []byte {
	p, ok := w.page(from, id)
	switch {
	case !ok:
		return nil
	case depth == maxDepth:
		w.find(at(id), "the tree is deeper than any is")
		return nil
	case p.flags == branchPage:
		for i := range p.count {
			first := w.tree(at(id), p.child(i), depth+1, each)
			if first != nil && !bytes.Equal(first, p.key(i)) {
				w.find(at(id), "says that page %d begins with %.80q, and it begins with %.80q", p.child(i), p.key(i), first)
			}
		}
	case p.count == 0 && depth > 0:
		w.find(at(id), "has no elements")
		return nil
	default:
		for i := range p.count {
			each(p, i)
		}
	}
	if p.count == 0 {
		return nil
	}
	return p.key(0)
}

// account is the visit of an account.
func (w *walker) account(p page, i int) {
	key, record := p.key(i), p.value(i)
	where := fmt.Sprintf("account %.80q on page %d", key, p.id)
	if !w.plain(p, i) {
		return
	}
	w.accounts++
	if len(record) > 0 && record[0] == formatLegacy {
		w.legacy++
		w.tutorial(where, key, record)
		return
	}
	payload, err := unseal(key, record)
	if err == nil {
		err = json.Unmarshal(payload, new(content))
	}
	if err != nil {
		w.find(where, "%v", err)
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
		w.find(where, "its record is damaged: %v", err)
	case !utf8.Valid(record) || c.Name == "":
		w.find(where, "its record is damaged: it has no name, or not in UTF-8")
	case is && id != string(key):
		w.find(where, "its record is of account %.80q", id)
	}
}

// own is the visit of this service's own records.
func (w *walker) own(p page, i int) {
	where := fmt.Sprintf("%s, record %.80q on page %d", metaBucket, p.key(i), p.id)
	if !w.plain(p, i) {
		return
	}
	text, err := unseal(p.key(i), p.value(i))
	if err != nil {
		w.find(where, "%v", err)
	}
	if bytes.Equal(p.key(i), sentinelKey) {
		w.sentinel = true
		if err == nil && !bytes.Equal(text, sentinelText) {
			w.find(where, "not the text of this service")
		}
	}
}

// foreign is the visit of what is not this service's: its pages count.
func (w *walker) foreign(p page, i int) {
	if p.u32(i, 0)&bucketFlag != 0 {
		w.open(p, i, w.foreign)
	}
}

// plain says whether element i of p is a record, as all of ours are.
func (w *walker) plain(p page, i int) bool {
	if p.u32(i, 0) == 0 {
		return true
	}
	w.find(at(p.id), "%.80q is no record but a bucket, or unknown", p.key(i))
	w.foreign(p, i)
	return false
}

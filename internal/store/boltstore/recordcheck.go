package boltstore

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync/atomic"

	"accountservice/internal/store/boltstore/boltfile"
)

const (
	// walkStep is how many records one run of CheckRecords decodes, and how many of those that were damaged it reads again.
	walkStep = 1024
	// maxDamaged is how many damaged records are remembered.
	maxDamaged = 16_384
	// maxNamed is how many damaged records the error of CheckRecords names.
	maxNamed = 10
)

// recordCheck is what CheckRecords knows between two runs. Only a run uses it.
type recordCheck struct {
	flight
	newer   []newerCopy   // beside the database when it was opened
	at      walked        // how far the records were read
	damaged []walked      // the records that could not be decoded when they were read last, in their order
	counted int64         // accounts that this round has read
	total   *atomic.Int64 // of the last whole round
}

// walked is a position in the buckets: the bucket by its index in walkedBuckets, and a key in it, or "" before the
// first.
type walked struct {
	bucket int
	key    []byte
}

func (w walked) compare(other walked) int {
	return cmp.Or(cmp.Compare(w.bucket, other.bucket), bytes.Compare(w.key, other.key))
}

// walkedBuckets are the buckets that CheckRecords reads, what decodes their records, and what becomes of damaged ones:
// all that requests need.
var walkedBuckets = []struct {
	name   []byte
	what   string
	decode func(key, record []byte) error
	cure   string
}{
	{boltfile.AccountBucket, "account", func(k, v []byte) error { _, err := decode(k, v); return err },
		"all other accounts are served; PUT or import replaces one, DELETE removes it"},
	{boltfile.MetaBucket, "the service's own record", func(k, v []byte) error { _, err := ownRecord(k, v); return err },
		"a start makes the service's own records anew"},
	{boltfile.AnswerBucket, "answer", func(k, v []byte) error { _, err := decodeAnswer(k, v); return err }, forgotten},
	{boltfile.AgeBucket, "age of an answer", boltfile.CheckAge, forgotten},
}

const forgotten = "an answer to a request with an Idempotency-Key is forgotten 24 hours after it, and costs no account"

// read decodes the next walkStep records, and again some that were damaged. An error is of a page, and the next read
// begins where this one did.
func (c *recordCheck) read(snap boltfile.Snapshot) error {
	if err := cmp.Or(checkAnswerBuckets(snap), c.readAgain(snap)); err != nil {
		return err
	}
	left := walkStep
	for range walkedBuckets {
		before := left
		to, found, err := readOn(snap, c.at, &left)
		if err != nil {
			return err
		}
		c.count(to, before-left)
		c.damaged = slices.Replace(c.damaged, c.after(c.at), c.after(to), found...)
		c.damaged = c.damaged[:min(len(c.damaged), maxDamaged)]
		to.bucket %= len(walkedBuckets)
		if c.at = to; left == 0 {
			break
		}
	}
	return nil
}

// count adds accounts that were read up to a position, and shows their number when all of them were.
func (c *recordCheck) count(to walked, records int) {
	if c.at.bucket > 0 {
		return
	}
	if c.counted += int64(records); to.bucket > 0 {
		c.total.Store(c.counted)
		c.counted = 0
	}
}

// after returns the first damaged record behind a position.
func (c *recordCheck) after(at walked) int {
	return sort.Search(len(c.damaged), func(i int) bool { return c.damaged[i].compare(at) > 0 })
}

// readOn decodes the records behind from, as many as are left. It returns the position up to which it read, and those
// that are damaged.
func readOn(snap boltfile.Snapshot, from walked, left *int) (to walked, damaged []walked, err error) {
	bucket := walkedBuckets[from.bucket]
	tree, err := snap.Bucket(bucket.name)
	if err == nil {
		err = tree.After(from.key, func(k, v []byte) bool {
			to = walked{from.bucket, k}
			if bucket.decode(k, v) != nil {
				damaged = append(damaged, walked{from.bucket, bytes.Clone(k)})
			}
			*left--
			return *left > 0
		})
	} else if errors.Is(err, boltfile.ErrNoBucket) && from.bucket > 1 { // no write of this file had a key yet
		err = nil
	}
	if *left > 0 {
		to = walked{from.bucket + 1, []byte{}}
	}
	return to, damaged, err
}

// readAgain forgets those of the first walkStep damaged records that were replaced or removed.
func (c *recordCheck) readAgain(snap boltfile.Snapshot) error {
	known := c.damaged[:min(len(c.damaged), walkStep)]
	var still []walked
	for i, bucket := range walkedBuckets {
		var keys [][]byte
		for _, at := range known {
			if at.bucket == i {
				keys = append(keys, at.key)
			}
		}
		if len(keys) == 0 {
			continue
		}
		tree, err := snap.Bucket(bucket.name)
		if err == nil {
			err = tree.Each(keys, func(k, v []byte) bool {
				if bucket.decode(k, v) != nil {
					still = append(still, walked{i, k})
				}
				return true
			})
		}
		if err != nil {
			return err
		}
	}
	c.damaged = slices.Replace(c.damaged, 0, len(known), still...)
	return nil
}

// err names the damaged records, or is nil if there are none.
func (c *recordCheck) err() error {
	n := len(c.damaged)
	if n == 0 {
		return nil
	}
	var names, cures []string
	for i, at := range c.damaged {
		bucket := walkedBuckets[at.bucket]
		if i < maxNamed {
			names = append(names, fmt.Sprintf("%s %.80q", bucket.what, at.key))
		}
		if !slices.Contains(cures, bucket.cure) {
			cures = append(cures, bucket.cure)
		}
	}
	count := fmt.Sprint("damaged records: ", n)
	if n == maxDamaged {
		count += " or more"
	}
	if n > maxNamed {
		names = append(names, "and so on")
	}
	return fmt.Errorf("%s (%s); %s", count, strings.Join(names, ", "), strings.Join(cures, "; "))
}

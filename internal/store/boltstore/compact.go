package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"maps"
	"os"
	"slices"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
)

// ErrLostPages: pages of a database are neither in use nor free. Accounts that were cut off can be on them.
var ErrLostPages = errors.New("pages are neither in use nor free, and accounts that were cut off can be on them")

// Compacted is what Compact did.
type Compacted struct {
	Before, After Verified
	Kept          string // where the file is that was replaced, or ""
}

// Compact replaces the database file at path by a copy without free pages, which a service serves as it would have
// served the file: with all records, the same identity and transaction. It waits a second for a process that has the
// file open. A damaged file is ErrDamaged; it is boltfile.ErrOlderMeta if a start mends it, or ErrLostPages if nothing
// else is wrong with it: then dropLost accepts that, and the file is kept beside the new one.
func Compact(ctx context.Context, path string, dropLost bool) (c Compacted, err error) {
	defer store.Wrap("bolt compact "+path, &err)
	l, err := newLocation(Options{Path: path})
	if err != nil {
		return c, err
	}
	f, err := openLocked(ctx, l.path, Options{OpenTimeout: lockPatience}, os.O_RDWR)
	if err != nil {
		return c, err
	}
	defer f.Close()
	l.forgetUnwritten(f)
	r, err := NewReplacement(l.path)
	if err != nil {
		return c, err
	}
	defer r.Discard()
	if c.Before, c.After, err = writeCompact(ctx, f, r.File, dropLost); err != nil {
		return c, err
	}
	if c.Before.OnlyOlderMeta() { // which can be the newest, so damaged that it looks older: only a start knows the witness
		return c, boltfile.ErrOlderMeta
	}
	c.Kept, err = r.Replace(!c.Before.Intact)
	return c, err
}

// writeCompact writes a copy of the database file from, which nobody may write to meanwhile, into the empty file to,
// and verifies both. to is on its disk then. Errors and dropLost are those of Compact.
func writeCompact(ctx context.Context, from, to *os.File, dropLost bool) (before, after Verified, err error) {
	if before, err = verifySource(ctx, from, dropLost); err != nil {
		return before, after, err
	}
	m, err := boltfile.InspectFile(from)
	if err != nil && !errors.Is(err, boltfile.ErrOlderMeta) {
		return before, after, err
	}
	sum, err := fillCompact(ctx, m.Snapshot(from), identityFor(from.Name(), before), to, func(int) error { return nil })
	if err != nil {
		return before, after, fmt.Errorf("writing the copy: %w", err)
	}
	if after, err = checkCompact(ctx, to, sum); err != nil {
		return before, after, fmt.Errorf("verifying the copy: %w", err)
	}
	return before, after, nil
}

// identityFor returns the identity for the copy of a database: its own, or, if that is damaged, the one that a start
// would give it.
func identityFor(path string, v Verified) string {
	if v.Own == 0 {
		return v.Identity
	}
	known, _ := readWitness(path)
	return cmp.Or(v.Identity, known.id, rand.Text())
}

// fillCompact writes all records of a snapshot into the empty file to, and returns their digest. Damaged records of the
// service itself are made anew, with this identity. It calls each with the size in bytes of every record.
func fillCompact(ctx context.Context, from boltfile.Snapshot, identity string, to *os.File,
	each func(size int) error) ([]byte, error) {
	read := sha256.New()
	err := guard(func() error {
		return copyRecords(to, from.PageSize, func(c *copier) error {
			return eachRecord(ctx, from, identity, func(bucket, k, v []byte) error {
				digest(read, bucket, k, v)
				return cmp.Or(c.put(bucket, k, v), each(len(k)+len(v)))
			})
		})
	})
	if err == nil {
		err = finishCompact(to, from.TxID)
	}
	return read.Sum(nil), err
}

// checkCompact verifies a file of fillCompact, which returned sum.
func checkCompact(ctx context.Context, f *os.File, sum []byte) (v Verified, err error) {
	if v, err = VerifyWhole(ctx, f); err != nil {
		return v, err
	}
	m, err := boltfile.InspectFile(f)
	written := sha256.New()
	if err == nil {
		err = eachRecord(ctx, m.Snapshot(f), v.Identity, func(bucket, k, v []byte) error { return digest(written, bucket, k, v) })
	}
	if err == nil && !bytes.Equal(sum, written.Sum(nil)) {
		err = errors.New("it does not have the records of the database")
	}
	return v, err
}

// verifySource is VerifyWhole of a database that is to be made compact: what is wrong with its list of free pages alone
// is no error if no account can be lost by it, or with dropLost.
func verifySource(ctx context.Context, f *os.File, dropLost bool) (Verified, error) {
	v, err := VerifyWhole(ctx, f)
	if !errors.Is(err, ErrDamaged) || len(v.Findings)+v.Omitted != v.List || v.List == 0 {
		return v, err
	}
	m, damage, refused := acceptable(f, false)
	if refused == nil && damage == nil {
		_, refused = boltverify.CheckFreelist(ctx, f, m, false)
	}
	switch {
	case damage != nil:
		return v, err
	case refused != nil && !dropLost:
		return v, fmt.Errorf("%w: %s", ErrLostPages, v.Findings[len(v.Findings)-1])
	}
	v.Identity, err = identity(m.Snapshot(f))
	return v, err
}

// eachRecord calls f with each bucket of this service, then with each of its records, in order. The service's own
// records are those of mendedOwn. identity is "" for a database of the tutorial, which has none. If only one of the
// two buckets of answers is missing, f gets it as an empty one.
func eachRecord(ctx context.Context, snap boltfile.Snapshot, identity string, f func(bucket, k, v []byte) error) error {
	for _, bucket := range boltfile.Buckets {
		if bytes.Equal(bucket, boltfile.MetaBucket) {
			if err := eachOwn(snap, identity, f); err != nil {
				return err
			}
			continue
		}
		tree, err := snap.Bucket(bucket)
		if errors.Is(err, boltfile.ErrNoBucket) && !bytes.Equal(bucket, boltfile.AccountBucket) {
			if checkAnswerBuckets(snap) == nil {
				continue
			}
			err = nil
		}
		if err == nil {
			err = f(bucket, nil, nil)
		}
		var failed error
		if err == nil {
			err = tree.After([]byte{}, func(k, v []byte) bool {
				failed = cmp.Or(ctx.Err(), f(bucket, k, v))
				return failed == nil
			})
		}
		if err := cmp.Or(failed, err); err != nil {
			return err
		}
	}
	return nil
}

// eachOwn is eachRecord of boltfile.MetaBucket.
func eachOwn(snap boltfile.Snapshot, identity string, f func(bucket, k, v []byte) error) error {
	if identity == "" {
		return nil
	}
	own, err := mendedOwn(snap, identity)
	if err == nil {
		err = f(boltfile.MetaBucket, nil, nil)
	}
	for _, key := range slices.Sorted(maps.Keys(own)) {
		if err == nil {
			err = f(boltfile.MetaBucket, []byte(key), own[key])
		}
	}
	return err
}

// digest adds a record to what is compared.
func digest(h hash.Hash, parts ...[]byte) error {
	for _, part := range parts {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return nil
}

// copyRecords has fill write records into the empty file to.
func copyRecords(to *os.File, pageSize int64, fill func(*copier) error) error {
	opened, err := openDuplicate(to, bbolt.Options{PageSize: int(pageSize), NoSync: true, NoGrowSync: true})
	if err != nil {
		return err
	}
	c := copier{db: opened.db}
	err = fill(&c)
	return errors.Join(err, c.end(err == nil), opened.unmap())
}

// copier writes records, which come in order, in transactions of bounded size.
type copier struct {
	db     *bbolt.DB
	tx     *bbolt.Tx
	bucket *bbolt.Bucket
	name   []byte
	size   int // in bytes, of what the transaction puts
}

const copierStep = 4 << 20

// put puts a record, or makes the bucket if k is nil.
func (c *copier) put(bucket, k, v []byte) (err error) {
	if c.size > copierStep {
		if err := c.end(true); err != nil {
			return err
		}
	}
	if c.tx == nil {
		if c.tx, err = c.db.Begin(true); err != nil {
			return err
		}
	}
	if c.bucket == nil || !bytes.Equal(bucket, c.name) {
		if c.bucket, err = c.tx.CreateBucketIfNotExists(bucket); err != nil {
			return err
		}
		c.name, c.bucket.FillPercent = bucket, 0.9 // what comes later goes to its place without splitting each page
	}
	if k == nil {
		return mark(c.tx)
	}
	c.size += len(k) + len(v)
	return c.bucket.Put(k, v)
}

func (c *copier) end(commit bool) error {
	tx := c.tx
	c.tx, c.bucket, c.size = nil, nil, 0
	switch {
	case tx == nil:
		return nil
	case commit:
		return tx.Commit()
	}
	return tx.Rollback()
}

// finishCompact cuts what bbolt grew the file by, gives its state the number of the transaction that it is a copy of,
// and waits until the disk has it.
func finishCompact(f *os.File, txid uint64) error {
	m, err := boltfile.InspectFile(f)
	if err != nil {
		return err
	}
	m.TxID = txid
	return cmp.Or(f.Truncate(m.Size()), boltfile.WriteMetas(f, m), f.Sync())
}

package boltstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// canaryAfter is how long nothing may have been written until CheckWrite writes.
const canaryAfter = 30 * time.Second

// CheckWrite asks whether a write would succeed. While clients write, their own
// commits answer that, and it does nothing; after 30 s without any it commits a
// record that never changes, by the same way as theirs. A full disk is no
// failure of it: every process would find it full. It is for after a Check that
// passed, which has read the pages that the commit touches.
func (s *Store) CheckWrite(ctx context.Context) error {
	if time.Since(*s.wrote.Load()) < canaryAfter || s.takesWrites() != nil { // Check and CheckRecords say that
		return nil
	}
	err := s.touchSentinel(ctx)
	if err == nil || errors.Is(err, store.ErrNoSpace) {
		return nil
	}
	return fmt.Errorf("test write after %s without any: %w", canaryAfter, err)
}

// touchSentinel commits a record that is there already.
func (s *Store) touchSentinel(ctx context.Context) error {
	return s.update(ctx, checkSentinel, func(tx *bbolt.Tx) error {
		return tx.Bucket(boltfile.MetaBucket).Put(boltfile.SentinelKey, boltfile.Seal(boltfile.SentinelKey, boltfile.SentinelText))
	})
}

// noteWrite remembers that the disk took a commit just now.
func (s *Store) noteWrite() {
	now := time.Now()
	s.wrote.Store(&now)
}

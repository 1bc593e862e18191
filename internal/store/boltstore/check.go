package boltstore

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
)

// walkStep is how many records one Check decodes. The walk goes on where the
// last one ended, so that all of them are read in turn.
const walkStep = 64

// progress is what one Check remembers for the next.
type progress struct {
	txid int      // newest transaction seen; a database never goes back
	walk store.ID // last record decoded
}

// Check asks whether this process can still serve and keep the accounts. Its
// layers go from what is known to what touches the map, each one making the
// next one safe. It changes nothing in the file, and it is not to be called
// while another Check runs.
func (s *Store) Check(ctx context.Context) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.identity(); err != nil {
		return err
	}
	if err := s.complete(); err != nil {
		return fmt.Errorf("%s %w", s.path, err)
	}
	now, err := view(ctx, s, func(tx *bbolt.Tx) (progress, error) { return s.seen.advance(tx) })
	if err != nil {
		return fmt.Errorf("read transaction: %w", err)
	}
	s.seen = now
	return nil
}

// complete inspects the file. A commit that writes a meta page at this moment
// can be seen half done, so a fault counts when it is found three times.
func (s *Store) complete() (err error) {
	for range 3 {
		if _, err = inspect(s.file); err == nil {
			return nil
		}
	}
	return err
}

// advance is the read transaction of Check.
func (p progress) advance(tx *bbolt.Tx) (progress, error) {
	if tx.ID() < p.txid {
		return p, fmt.Errorf("the database went back from transaction %d to %d: its newest meta page is damaged", p.txid, tx.ID())
	}
	p.txid = tx.ID()
	accounts := tx.Bucket(accountBucket)
	if accounts == nil {
		return p, fmt.Errorf("its bucket %s is gone", accountBucket)
	}
	c := accounts.Cursor()
	k, v := c.Seek([]byte(p.walk))
	if k != nil && string(k) == string(p.walk) {
		k, v = c.Next()
	}
	var faults []error
	p.walk = ""
	for n := 0; k != nil && n < walkStep; k, v = c.Next() {
		acc, err := decode(k, v)
		if err != nil {
			faults = append(faults, err)
		}
		p.walk = acc.ID
		n++
	}
	if k == nil {
		p.walk = "" // begin again
	}
	return p, errors.Join(append(faults, checkSentinel(tx))...)
}

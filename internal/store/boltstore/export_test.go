package boltstore

import (
	"context"

	"go.etcd.io/bbolt"
)

const MaxCopies = maxCopies

// CopiesForTest makes the store believe that it left so many copies already.
func (s *Store) CopiesForTest(n int) {
	s.update(context.Background(), nil, func(*bbolt.Tx) error { s.rescue.copies = n; return errUnchanged })
}

// For the tests of behaviour, which are in package boltstore_test.
var (
	All, Await, Fill, Long, Must, OpenAt, Refused, Seeded = all, await, fill, long, must, openAt, refused, seeded

	SmallDisk, TryOpen, Unusable, WriteFile = smallDisk, tryOpen, unusable, writeFile
)

// LatchForTest ends the store as a failed commit does.
func (s *Store) LatchForTest(err error) { s.latch.set(err) }

var Foreign, Heavy, TutorialFile, WantErr, WantName, Witness = foreign, heavy, tutorialFile, wantErr, wantName, witness

package boltstore

// For the tests of behaviour, which are in package boltstore_test.
var (
	All, Await, Fill, Long, Must, OpenAt, Refused, Seeded = all, await, fill, long, must, openAt, refused, seeded

	SmallDisk, TryOpen, Unusable, WriteFile = smallDisk, tryOpen, unusable, writeFile
)

// LatchForTest ends the store as a failed commit does.
func (s *Store) LatchForTest(err error) { s.latch.set(err) }

var WantName = wantName

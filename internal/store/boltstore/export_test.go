package boltstore

// For the tests of behaviour, which are in package boltstore_test.
var (
	All, Await, Fill, Long, Must, OpenAt, Seeded, SmallDisk, WriteFile = all, await, fill, long, must, openAt, seeded, smallDisk, writeFile
)

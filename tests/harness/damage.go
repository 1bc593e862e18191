package harness

import (
	"bytes"
	"os"
	"testing"
)

// DamageRecords flips a bit in the records of these accounts, wherever they are in the database file at path: in pages in
// use and in older ones. It fails the test if one is nowhere.
func DamageRecords(t testing.TB, path string, ids ...string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	Must(t, err)
	defer f.Close()
	image := []byte(Read(t, path))
	left, lengths := make(map[string]bool), make(map[int]bool)
	for _, id := range ids {
		left[id], lengths[len(id)] = true, true
	}
	for at := 0; ; at++ {
		value := bytes.Index(image[at:], []byte(`{"name":"`))
		if value < 0 {
			break
		}
		at += value
		for n := range lengths {
			key := at - 5 - n // format and checksum are 5 bytes
			if key < 0 || image[at-5] != 1 {
				continue
			}
			id := string(image[key : key+n])
			if _, asked := left[id]; asked {
				_, err := f.WriteAt([]byte{image[at+2] ^ 1}, int64(at+2))
				Must(t, err)
				left[id] = false
			}
		}
	}
	for id, nowhere := range left {
		if nowhere {
			t.Fatalf("the record of %s is nowhere in %s", id, path)
		}
	}
}

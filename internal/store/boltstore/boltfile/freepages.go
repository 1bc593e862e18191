package boltfile

import (
	"encoding/binary"
	"io"
	"math"
)

// FreePages returns how many pages the list of free pages has.
func FreePages(f io.ReaderAt, m Meta) (int64, error) {
	h, err := ReadFreelist(f, m)
	if err != nil || h.Count < math.MaxUint16 {
		return int64(h.Count), err
	}
	b := make([]byte, 8) // the number does not fit into the header, and is the first of the list
	if _, err := f.ReadAt(b, int64(m.Freelist)*m.PageSize+HeaderSize); err != nil {
		return 0, err
	}
	n := binary.NativeEndian.Uint64(b)
	if n > uint64(m.HighWater) {
		return 0, errFreelist
	}
	return int64(n), nil
}

package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

func TestFreePagesAreCountedAlsoBeyondTheHeader(t *testing.T) {
	order := binary.NativeEndian
	for _, c := range []struct {
		count uint16
		first uint64
		want  int64
		err   error
	}{{0, 7, 0, nil}, {65534, 7, 65534, nil}, {65535, 65535, 65535, nil}, {65535, 70000, 70000, nil}, {65535, 1 << 60, 0, errFreelist}} {
		file := make([]byte, 8192)
		page := file[4096:]
		order.PutUint64(page, 1)
		order.PutUint16(page[8:], FreelistPage)
		order.PutUint16(page[10:], c.count)
		order.PutUint64(page[HeaderSize:], c.first)
		got, err := FreePages(bytes.NewReader(file), Meta{PageSize: 4096, Freelist: 1, HighWater: 80000})
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%d, %d: %d, %v; want %d, %v", c.count, c.first, got, err, c.want, c.err)
		}
	}
	if _, err := FreePages(bytes.NewReader(make([]byte, 4096)), Meta{PageSize: 4096, Freelist: 1, HighWater: 9}); err == nil {
		t.Error("a file without the list gives no error")
	}
}

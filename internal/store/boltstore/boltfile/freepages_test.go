package boltfile_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"accountservice/internal/store/boltstore/boltfile"
)

func TestFreePagesAreCountedAlsoBeyondTheHeader(t *testing.T) {
	order := binary.NativeEndian
	for _, c := range []struct {
		count uint16
		first uint64
		want  int64
		words string
	}{{0, 7, 0, "<nil>"}, {65534, 7, 65534, "<nil>"}, {65535, 65535, 65535, "<nil>"}, {65535, 70000, 70000, "<nil>"}, {65535, 1 << 60, 0, "its list of free pages is damaged"}} {
		file := make([]byte, 8192)
		page := file[4096:]
		order.PutUint64(page, 1)
		order.PutUint16(page[8:], boltfile.FreelistPage)
		order.PutUint16(page[10:], c.count)
		order.PutUint64(page[boltfile.HeaderSize:], c.first)
		got, err := boltfile.FreePages(bytes.NewReader(file), boltfile.Meta{PageSize: 4096, Freelist: 1, HighWater: 80000})
		if got != c.want || !strings.Contains(fmt.Sprint(err), c.words) {
			t.Errorf("%d, %d: %d, %v; want %d, %s", c.count, c.first, got, err, c.want, c.words)
		}
	}
	if _, err := boltfile.FreePages(bytes.NewReader(make([]byte, 4096)), boltfile.Meta{PageSize: 4096, Freelist: 1, HighWater: 9}); err == nil {
		t.Error("a file without the list gives no error")
	}
}

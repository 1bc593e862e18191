package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// meta is what one of the two meta pages says. Its layout is bbolt's
// (internal/common/page.go and meta.go, version 2), in the machine's byte order.
type meta struct {
	pageSize  int64
	root      uint64 // page of the bucket of buckets
	freelist  uint64 // page of the list of free pages
	highWater int64  // pages in use, so that the file has at least pageSize x highWater bytes
	txid      uint64
}

const (
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	pageHeader  = 16 // bytes before the meta on its page
	metaSize    = 64 // with the FNV-1a checksum of what precedes it in the last 8
)

func (m meta) need() int64 { return m.pageSize * m.highWater }

// What one damaged meta page means beside a valid one.
var (
	// errOlderMeta: the newest transaction is whole; the next one writes the
	// damaged page anew.
	errOlderMeta = errors.New("one of its two meta pages is damaged, the older one; nothing is lost by it")
	// errNewestMeta: bbolt would go back a transaction and say nothing.
	errNewestMeta = errors.New("its newest meta page is damaged, and with it the last change would be lost")
)

// inspect reads both meta pages and returns the newest valid one, if the file
// of this size holds all that it speaks of. Beside it errOlderMeta or
// errNewestMeta says that the other one is damaged; any other error is final.
func inspect(f io.ReaderAt, size int64) (meta, error) {
	if size == 0 {
		return meta{}, errors.New("is empty (0 bytes), so it is no database any more; restore a backup, or remove the file and its witness to begin with a new one")
	}
	first, err := readMeta(f, 0)
	if err != nil && !errors.Is(err, errBadMeta) {
		return meta{}, err
	}
	second, secondErr := meta{}, errBadMeta
	for at := int64(1 << 10); at <= 1<<24 && secondErr != nil; at <<= 1 { // it is one page on, and only the first tells how long a page is
		if err != nil || at == first.pageSize {
			if second, secondErr = readMeta(f, at); secondErr != nil && !errors.Is(secondErr, errBadMeta) {
				return meta{}, secondErr
			}
		}
		if err == nil && at == first.pageSize {
			break
		}
	}
	var best meta
	switch {
	case err != nil && secondErr != nil:
		return meta{}, errors.New("is not a database, or both its meta pages are damaged; restore a backup")
	case err == nil && secondErr == nil:
		best = first
		if second.txid > first.txid {
			best = second
		}
	case err == nil:
		best, err = first, doubt(first, second)
	default:
		best, err = second, doubt(second, first)
	}
	if size < best.need() {
		return meta{}, fmt.Errorf("is cut short: it has %d bytes and needs %d; restore a backup", size, best.need())
	}
	return best, err
}

// checkFreelist reads by pread the header of the list of free pages, which a
// commit reads through the map, and believes.
func checkFreelist(f io.ReaderAt, m meta) error {
	header := make([]byte, pageHeader)
	if _, err := f.ReadAt(header, int64(m.freelist)*m.pageSize); err != nil {
		return fmt.Errorf("reading its list of free pages: %w", err)
	}
	order := binary.NativeEndian
	last := m.freelist + uint64(order.Uint32(header[12:]))
	if order.Uint64(header) != m.freelist || order.Uint16(header[8:]) != freelistPage || last >= uint64(m.highWater) {
		return errors.New("its list of free pages is damaged; restore a backup")
	}
	return nil
}

// doubt says what is lost with a damaged page beside a good one. The damaged
// one is the older only if it still says so: anything else may have been newer.
func doubt(good, damaged meta) error {
	if damaged.txid+1 == good.txid {
		return errOlderMeta
	}
	return errNewestMeta
}

var errBadMeta = errors.New("no valid meta page")

// readMeta returns what the page says, with errBadMeta if that is not valid.
func readMeta(f io.ReaderAt, offset int64) (meta, error) {
	page := make([]byte, pageHeader+metaSize)
	if _, err := f.ReadAt(page, offset); errors.Is(err, io.EOF) {
		return meta{}, errBadMeta
	} else if err != nil {
		return meta{}, fmt.Errorf("reading its meta pages: %w", err)
	}
	b, order := page[pageHeader:], binary.NativeEndian
	m := meta{
		pageSize:  int64(order.Uint32(b[8:])),
		root:      order.Uint64(b[16:]),
		freelist:  order.Uint64(b[32:]),
		highWater: int64(order.Uint64(b[40:])),
		txid:      order.Uint64(b[48:]),
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	if order.Uint32(b) != metaMagic || order.Uint32(b[4:]) != metaVersion || order.Uint64(b[metaSize-8:]) != sum.Sum64() {
		return m, errBadMeta
	}
	return m, nil
}

// inspectFile is inspect of an open file.
func inspectFile(f *os.File) (meta, error) {
	info, err := f.Stat()
	if err != nil {
		return meta{}, err
	}
	return inspect(f, info.Size())
}

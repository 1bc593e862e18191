// Package boltfile reads the bytes of a bbolt file that this service wrote: its meta pages, its trees and its records.
// It takes bytes from an io.ReaderAt and gives values. It has no goroutines and does not know bbolt's code, which reads
// the file through a memory map; every read here is a pread (docs/bbolt.md says why).
//
// The page layout is bbolt's, version 2 (go.etcd.io/bbolt/internal/common: page.go, meta.go, bucket.go, inode.go), in
// the byte order of the machine. Nothing that a file says is believed before it is compared with a bound.
package boltfile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// Meta is the content of one of the two meta pages, the first two pages of a file. A commit writes one of them last,
// in turn; the valid one with the higher transaction id is the state of the database.
type Meta struct {
	PageSize  int64  // in bytes: a power of two from 1 KiB to 64 KiB
	Root      uint64 // page id of the bucket that holds all other buckets
	Freelist  uint64 // page id of the list of free pages, or NoFreelist
	HighWater int64  // number of pages: ids of pages are below it
	TxID      uint64 // transaction that wrote this page
}

// NoFreelist stands in Meta.Freelist if the file has no list of free pages.
const NoFreelist = ^uint64(0)

const (
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaSize    = 64 // in bytes; the last 8 are the FNV-1a checksum of the others
	minPageSize = 1 << 10
	maxPageSize = 1 << 16
	minPages    = 4 // of a new file: two meta pages, the list of free pages, one leaf
)

// What one damaged meta page means beside a valid one.
var (
	// ErrOlderMeta: the newest transaction is whole; the next one writes the damaged page anew.
	ErrOlderMeta = errors.New("one of its two meta pages is damaged, the older one; nothing is lost by it")
	// ErrNewestMeta: bbolt would open the file as it was one transaction earlier and report nothing.
	ErrNewestMeta = errors.New("its newest meta page is damaged, and with it the last change would be lost")
)

// ErrNoDatabase: the file is of another format, and was not damaged.
var ErrNoDatabase = errors.New("is no database")

// ErrBadMeta: the page was read, or the file ends before it, and it is not a valid meta page.
var ErrBadMeta = errors.New("no valid meta page")

// Size returns the number of bytes that the file must have at least.
func (m Meta) Size() int64 { return m.PageSize * m.HighWater }

// Fit returns an error if a file of size bytes is too short for the pages that m counts.
func (m Meta) Fit(size int64) error {
	if m.HighWater < minPages || m.HighWater > size/m.PageSize {
		return fmt.Errorf("is cut short: it has %d bytes, and %d pages of %d bytes are in use", size, m.HighWater, m.PageSize)
	}
	return nil
}

// Snapshot returns the state of the database that m describes. It is stable as long as nobody commits to f.
func (m Meta) Snapshot(f io.ReaderAt) Snapshot {
	return Snapshot{File: f, PageSize: m.PageSize, Root: m.Root, TxID: m.TxID}
}

// Metas are the two meta pages of a file. A page is valid if its error is nil. The error is ErrBadMeta, or that of a
// read.
type Metas struct {
	Pages [2]Meta
	Errs  [2]error
}

// ReadMetas reads both meta pages.
func ReadMetas(f io.ReaderAt) (m Metas) {
	m.Pages[0], m.Errs[0] = readMeta(f, 0)
	switch {
	case m.Errs[0] == nil:
		m.Pages[1], m.Errs[1] = readMeta(f, m.Pages[0].PageSize)
	case !errors.Is(m.Errs[0], ErrBadMeta): // the disk fails: each further read may take seconds
		m.Errs[1] = m.Errs[0]
	default: // the size of a page, and so the offset of the second one, is unknown
		m.Errs[1] = ErrBadMeta
		for at := int64(minPageSize); at <= maxPageSize && errors.Is(m.Errs[1], ErrBadMeta); at <<= 1 {
			m.Pages[1], m.Errs[1] = readMeta(f, at)
		}
	}
	return m
}

// Newest returns the newest valid meta page. Beside it, ErrOlderMeta or ErrNewestMeta says that the other page is
// damaged. With any other error there is no valid page.
func (m Metas) Newest() (Meta, error) {
	switch first, second := m.Pages[0], m.Pages[1]; {
	case m.Errs[0] != nil && m.Errs[1] != nil:
		return Meta{}, errors.New("is not a database, or both its meta pages are damaged")
	case m.Errs[1] != nil:
		return first, lost(first, second)
	case m.Errs[0] != nil:
		return second, lost(second, first)
	case second.TxID > first.TxID:
		return second, nil
	default:
		return first, nil
	}
}

// lost says what a damaged page beside a good one means. A page whose transaction id is not the one before the good
// one's may have been the newer one.
func lost(good, damaged Meta) error {
	if damaged.TxID+1 == good.TxID {
		return ErrOlderMeta
	}
	return ErrNewestMeta
}

// Inspect returns the newest valid meta page of a file of size bytes that holds all pages it counts. Beside it,
// ErrOlderMeta or ErrNewestMeta says that the other page is damaged. Any other error, such as ErrNoDatabase, means that
// the file cannot be opened; its text follows the name of the file.
func Inspect(f io.ReaderAt, size int64) (Meta, error) {
	if size == 0 {
		return Meta{}, errors.New("is empty (0 bytes), so it is no database any more; " +
			"restore a backup, or remove the file, and its witness if it has one, to begin with a new database")
	}
	metas := ReadMetas(f)
	for _, err := range metas.Errs {
		if err != nil && !errors.Is(err, ErrBadMeta) {
			return Meta{}, err
		}
	}
	newest, err := metas.Newest()
	if newest == (Meta{}) {
		if other := OtherFormat(f); other != nil {
			return newest, fmt.Errorf("%w; check the path, or restore a backup of the database that was there", other)
		}
		return newest, fmt.Errorf("%w; restore a backup", err)
	}
	if cut := newest.Fit(size); cut != nil {
		return Meta{}, fmt.Errorf("%w; restore a backup", cut)
	}
	return newest, err
}

// InspectFile is Inspect of an open file.
func InspectFile(f *os.File) (Meta, error) {
	info, err := f.Stat()
	if err != nil {
		return Meta{}, err
	}
	return Inspect(f, info.Size())
}

// OtherFormat returns ErrNoDatabase, with what to do, if a file without a valid meta page begins as gzip or a JSON text
// does.
func OtherFormat(f io.ReaderAt) error {
	first := make([]byte, 512)
	n, _ := f.ReadAt(first, 0) // a read that fails tells nothing
	first = first[:n]
	text := bytes.TrimSpace(bytes.TrimPrefix(first, []byte("\ufeff")))
	switch {
	case bytes.HasPrefix(first, []byte("\x1f\x8b")):
		return fmt.Errorf("%w but gzip: decompress a backup by gunzip, or give an export to accountservice import",
			ErrNoDatabase)
	case len(text) > 0 && (text[0] == '{' || text[0] == '[') && !bytes.Contains(text, []byte{0}): // a page has zeros
		return fmt.Errorf("%w but JSON: give an export, which has one account a line, to accountservice import",
			ErrNoDatabase)
	}
	return nil
}

// readMeta reads the meta page at an offset, which for the second one is the size of a page. With ErrBadMeta it
// returns what the page says nevertheless: see writtenTxID.
func readMeta(f io.ReaderAt, offset int64) (Meta, error) {
	page := make([]byte, HeaderSize+metaSize)
	if _, err := f.ReadAt(page, offset); errors.Is(err, io.EOF) {
		return Meta{}, ErrBadMeta
	} else if err != nil {
		return Meta{}, fmt.Errorf("reading its meta pages: %w", err)
	}
	b, order := page[HeaderSize:], binary.NativeEndian
	m := Meta{
		PageSize:  int64(order.Uint32(b[8:])),
		Root:      order.Uint64(b[16:]),
		Freelist:  order.Uint64(b[32:]),
		HighWater: int64(order.Uint64(b[40:])),
		TxID:      order.Uint64(b[48:]),
	}
	ok := order.Uint32(b) == metaMagic && order.Uint32(b[4:]) == metaVersion &&
		order.Uint64(b[metaSize-8:]) == metaSum(b) &&
		m.PageSize >= minPageSize && m.PageSize <= maxPageSize && m.PageSize&(m.PageSize-1) == 0 &&
		(offset == 0 || offset == m.PageSize)
	if !ok {
		m.TxID = writtenTxID(b)
		return m, ErrBadMeta
	}
	return m, nil
}

func metaSum(b []byte) uint64 {
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	return sum.Sum64()
}

// writtenTxID returns the transaction id that the content of a damaged meta page was written with, if the checksum
// proves that one flipped bit of the id is all its damage: with that bit the newest page can look like the older one.
// Else it returns the id as it is. It changes b.
func writtenTxID(b []byte) uint64 {
	order := binary.NativeEndian
	txid := order.Uint64(b[48:])
	for bit := range 64 {
		order.PutUint64(b[48:], txid^1<<bit)
		if order.Uint64(b[metaSize-8:]) == metaSum(b) {
			return txid ^ 1<<bit
		}
	}
	return txid
}

// WriteMeta writes the meta page of m where bbolt would write it.
func WriteMeta(f *os.File, m Meta) error {
	page := make([]byte, HeaderSize+metaSize)
	order, slot := binary.NativeEndian, m.TxID%2
	order.PutUint64(page, slot)
	order.PutUint16(page[8:], MetaPage)
	b := page[HeaderSize:]
	order.PutUint32(b, metaMagic)
	order.PutUint32(b[4:], metaVersion)
	order.PutUint32(b[8:], uint32(m.PageSize))
	order.PutUint64(b[16:], m.Root)
	order.PutUint64(b[32:], m.Freelist)
	order.PutUint64(b[40:], uint64(m.HighWater))
	order.PutUint64(b[48:], m.TxID)
	order.PutUint64(b[metaSize-8:], metaSum(b))
	_, err := f.WriteAt(page, int64(slot)*m.PageSize)
	return err
}

// WriteMetas writes both meta pages of a copy: m, and the same with the number of the transaction before.
func WriteMetas(f *os.File, m Meta) error {
	before := m
	before.TxID--
	return cmp.Or(WriteMeta(f, before), WriteMeta(f, m))
}

// ReadFreelist reads the header of the list of free pages, which a commit of bbolt reads through the map and believes.
// A damaged one is an error. The pages of the list lie within the file, and are not more than all ids need.
func ReadFreelist(f io.ReaderAt, m Meta) (Header, error) {
	b := make([]byte, HeaderSize)
	if m.Freelist >= uint64(m.HighWater) {
		return Header{}, errFreelist
	}
	if _, err := f.ReadAt(b, int64(m.Freelist)*m.PageSize); err != nil {
		return Header{}, fmt.Errorf("reading its list of free pages: %w", err)
	}
	h := ParseHeader(b)
	more := int64(h.Overflow)
	if h.ID != m.Freelist || h.Flags != FreelistPage ||
		int64(m.Freelist)+more >= m.HighWater || more > m.HighWater*8/m.PageSize+1 {
		return Header{}, errFreelist
	}
	return h, nil
}

var errFreelist = errors.New("its list of free pages is damaged; a start writes it anew if all else is whole")

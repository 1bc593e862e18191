// Package transfer moves accounts in and out of a store as lines of JSON (NDJSON), a batch at a time, so that any
// number of them needs little memory. It owns the strict reading of JSON from strangers, be it lines or bodies. It
// knows the store contract, nothing of HTTP, files or terminals.
//
// A line is one JSON object: an account, of which id and name are required. Empty lines mean nothing. Lines of one id
// are stored in their order, so that the last one stays. An input in gzip is decompressed. The line {"damaged":ID} of
// an export stands for an account whose record was damaged; an import counts it and stores nothing.
package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"accountservice/internal/store"
)

const (
	// MaxLine bounds a line, in bytes.
	MaxLine = 256 << 10
	// maxEmpty bounds the empty lines before a line with an account, in bytes: an input must make progress.
	maxEmpty = MaxLine
	// MaxFaults bounds how many faults are told of one input.
	MaxFaults = 50
	// maxBatchBytes bounds the lines of a batch, minBatchBytes those of a batch of few accounts.
	maxBatchBytes = 4 << 20
	minBatchBytes = 1 << 20
)

// Batch is a part of the input.
type Batch struct {
	Accounts []store.Account // those of one id in the order of their lines
	Lines    []int           // where each of them stands, from 1
	First    int             // the line where the batch begins
	Last     int             // and where it ends
	Damaged  int             // lines that stand for damaged accounts
	Faults   []Fault         // of lines that are in no batch, at most MaxFaults
}

// Reader cuts an input into batches.
type Reader struct {
	in    *bufio.Reader
	most  int
	line  int  // number of the last line that was read
	ended bool // by a fault after which no line can be read
}

// NewReader returns a Reader of batches of at most so many accounts.
func NewReader(in io.Reader, most int) *Reader {
	return &Reader{in: bufio.NewReaderSize(&source{input: in}, MaxLine), most: min(most, store.MaxMany)}
}

// Next returns the next batch, or io.EOF after the last. After another error,
// which is the input's, there is no more to read.
func (r *Reader) Next() (Batch, error) {
	b := Batch{First: r.line + 1}
	most := min(maxBatchBytes, max(minBatchBytes, r.most<<10))
	for size := 0; len(b.Accounts) < r.most && size < most && len(b.Faults) < MaxFaults; {
		acc, n, fault, err := r.next()
		switch {
		case err != nil && (!errors.Is(err, io.EOF) || len(b.Accounts)+len(b.Faults)+b.Damaged == 0):
			return Batch{}, err
		case err != nil:
			return b, nil
		case fault == isDamagedLine:
			b.Damaged++
		case fault != nil:
			fault.Line = r.line
			b.Faults = append(b.Faults, *fault)
		default:
			b.Accounts, b.Lines = append(b.Accounts, acc), append(b.Lines, r.line)
		}
		b.Last, size = r.line, size+n
	}
	return b, nil
}

// next returns the account of the next line that has one, and the line's size.
func (r *Reader) next() (acc store.Account, size int, fault *Fault, err error) {
	for empty := 0; !r.ended; {
		text, err := r.in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			fault = unread("is longer than %d bytes", MaxLine)
			fallthrough
		case errors.As(err, &fault):
			r.line++
			r.ended = true
			return acc, len(text), fault, nil
		case err != nil && (!errors.Is(err, io.EOF) || len(text) == 0):
			return acc, 0, nil, err
		}
		r.line++
		if len(bytes.TrimSpace(bytes.TrimPrefix(text, byteOrderMark))) > 0 {
			acc, fault = parseLine(text)
			return acc, len(text), fault, nil
		}
		if empty += len(text); empty > maxEmpty {
			r.ended = true
			return acc, 0, unread("comes after more than %d bytes of empty lines", maxEmpty), nil
		}
	}
	return acc, 0, nil, io.EOF
}

// isDamagedLine is the fault of a line that stands for a damaged account.
var isDamagedLine = new(Fault)

// unread is the fault of a line after which nothing is read.
func unread(format string, bytes int) *Fault {
	return &Fault{Pointer: "#", Detail: fmt.Sprintf(format, bytes) + "; nothing after it was read"}
}

func parseLine(line []byte) (acc store.Account, fault *Fault) {
	if fault := Decode(line, &acc); fault != nil {
		if isDamaged(line) {
			fault = isDamagedLine
		}
		return store.Account{}, fault
	}
	if err := acc.Validate(); err != nil {
		return store.Account{}, faultOf(err)
	}
	return acc, nil
}

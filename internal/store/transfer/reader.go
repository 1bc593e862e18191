// Package transfer moves accounts in and out of a store as lines of JSON (NDJSON), a batch at a time, so that any
// number of them needs little memory. It owns the strict reading of JSON from strangers, be it lines or bodies. It
// knows the store contract, nothing of HTTP, files or terminals.
//
// A line is one JSON object with id and name, and if there are any email, labels, version, created_at and updated_at.
// Empty lines mean nothing. Where an id stands twice the later line wins. An input in gzip is decompressed.
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
	// MaxFaults bounds how many faults are told of one input.
	MaxFaults = 50
	// maxBatchBytes bounds the lines of a batch, minBatchBytes those of a batch of few accounts.
	maxBatchBytes = 4 << 20
	minBatchBytes = 1 << 20
)

// Batch is a part of the input.
type Batch struct {
	Accounts []store.Account // of distinct ids
	Lines    []int           // where each of them stands, from 1
	First    int             // the line where the batch begins
	Last     int             // and where it ends
	Faults   []Fault         // of lines that are in no batch, at most MaxFaults
}

// Reader cuts an input into batches.
type Reader struct {
	in    *bufio.Reader
	most  int
	line  int   // read last
	held  *held // what begins the next batch
	ended bool  // by a fault that leaves no next line
}

// held is an account whose id is in the batch before already.
type held struct {
	acc  store.Account
	size int
}

// NewReader returns a Reader of batches of at most so many accounts.
func NewReader(in io.Reader, most int) *Reader {
	return &Reader{in: bufio.NewReaderSize(&source{input: in}, MaxLine), most: min(most, store.MaxMany)}
}

// Next returns the next batch, or io.EOF after the last. After another error,
// which is the input's, there is no more to read.
func (r *Reader) Next() (Batch, error) {
	b := Batch{First: r.line + 1}
	if r.held != nil {
		b.First--
	}
	seen := make(map[store.ID]bool, r.most)
	most := min(maxBatchBytes, max(minBatchBytes, r.most<<10))
	for size := 0; len(b.Accounts) < r.most && size < most && len(b.Faults) < MaxFaults; {
		acc, n, fault, err := r.next()
		switch {
		case err != nil && (!errors.Is(err, io.EOF) || len(b.Accounts)+len(b.Faults) == 0):
			return Batch{}, err
		case err != nil:
			return b, nil
		case fault != nil:
			fault.Line = r.line
			b.Faults = append(b.Faults, *fault)
		case seen[acc.ID]:
			r.held = &held{acc, n}
			return b, nil
		default:
			seen[acc.ID] = true
			b.Accounts, b.Lines = append(b.Accounts, acc), append(b.Lines, r.line)
		}
		b.Last, size = r.line, size+n
	}
	return b, nil
}

// next returns the account of the next line that has one, and the line's size.
func (r *Reader) next() (acc store.Account, size int, fault *Fault, err error) {
	if h := r.held; h != nil {
		r.held = nil
		return h.acc, h.size, nil, nil
	}
	for !r.ended {
		text, err := r.in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			detail := fmt.Sprintf("is longer than %d bytes; nothing after it was read", MaxLine)
			fault = &Fault{Pointer: "#", Detail: detail}
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
	}
	return acc, 0, nil, io.EOF
}

// parseLine returns the account of a line, or what is wrong with it.
func parseLine(line []byte) (acc store.Account, fault *Fault) {
	if fault := Decode(line, &acc); fault != nil {
		return store.Account{}, fault
	}
	if err := acc.Validate(); err != nil {
		return store.Account{}, faultOf(err)
	}
	return acc, nil
}

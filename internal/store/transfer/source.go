package transfer

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// An input may expand to freeExpansion bytes, and beyond that to maxExpansion times its own length. Lines of accounts
// compress to a tenth; what compresses a thousandfold is made to fill a memory or a disk.
const (
	freeExpansion = 1 << 20
	maxExpansion  = 256
)

// source is the input of a Reader, decompressed if it begins as gzip does (RFC 1952),
// which no JSON does. Data that are not valid gzip, or expand too much, are a *Fault.
type source struct {
	input io.Reader
	read  int64 // bytes of the input
	err   error // of the input

	lines    io.Reader // nil before the first Read
	zip      bool
	expanded int64 // bytes
}

func (s *source) Read(p []byte) (n int, err error) {
	if s.lines == nil {
		err = s.begin()
	}
	if err == nil {
		n, err = s.lines.Read(p)
	}
	if !s.zip {
		return n, err
	}
	s.expanded += int64(n)
	switch {
	case s.expanded > freeExpansion+maxExpansion*s.read:
		detail := fmt.Sprintf("is gzip that expands more than %d times; send it expanded", maxExpansion)
		err = &Fault{Pointer: "#", Detail: detail}
	case err != nil && err != io.EOF && (s.err == nil || s.err == io.EOF):
		err = &Fault{Pointer: "#", Detail: "is damaged or cut gzip; nothing after it was read"}
	}
	return n, err
}

// begin looks at the first bytes of the input.
func (s *source) begin() error {
	in := bufio.NewReader(counted{s})
	s.lines = in
	magic, err := in.Peek(2)
	if s.zip = string(magic) == "\x1f\x8b"; !s.zip {
		if errors.Is(err, io.EOF) {
			return nil // there may be a byte
		}
		return err
	}
	zip, err := gzip.NewReader(in)
	if err == nil {
		s.lines = zip
	}
	return err
}

// counted is the input of its source.
type counted struct{ *source }

func (c counted) Read(p []byte) (int, error) {
	n, err := c.input.Read(p)
	c.read += int64(n)
	c.err = err
	return n, err
}

package main

import (
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"strings"
)

// head is what comes before the body of an answer in HTTP/1.
type head struct {
	code    int
	reason  string
	chunked bool
	length  int64 // of the body in bytes; -1: until the connection ends
}

func readHead(in *textproto.Reader) (head, error) {
	line, err := in.ReadLine()
	if err != nil {
		return head{}, err
	}
	protocol, status, _ := strings.Cut(line, " ")
	digits, reason, _ := strings.Cut(status, " ")
	code, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || len(digits) != 3 || !strings.HasPrefix(protocol, "HTTP/1.") {
		return head{}, fmt.Errorf("malformed HTTP response %q", line)
	}
	fields, err := in.ReadMIMEHeader()
	if err != nil {
		return head{}, err
	}
	h := head{int(code), reason, strings.EqualFold(fields.Get("Transfer-Encoding"), "chunked"), -1}
	switch text := fields.Get("Content-Length"); {
	case code < 200 || code == 204 || code == 304: // these have no body
		h.chunked, h.length = false, 0
	case text != "" && !h.chunked:
		if h.length, err = strconv.ParseInt(text, 10, 64); err != nil || h.length < 0 {
			return head{}, fmt.Errorf("malformed HTTP response: Content-Length is %q", text)
		}
	}
	return h, nil
}

// readBody returns the whole body or, if it is longer than maxBody, more than maxBody bytes of it.
func (h head) readBody(in *textproto.Reader) ([]byte, error) {
	switch {
	case h.chunked:
		return readChunks(in)
	case h.length < 0:
		return io.ReadAll(io.LimitReader(in.R, maxBody+1))
	}
	body := make([]byte, min(h.length, maxBody+1))
	_, err := io.ReadFull(in.R, body)
	return body, err
}

func readChunks(in *textproto.Reader) (body []byte, err error) {
	for len(body) <= maxBody {
		line, err := in.ReadLine()
		if err != nil {
			return nil, err
		}
		digits, _, _ := strings.Cut(line, ";")
		size, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 31)
		switch {
		case err != nil:
			return nil, fmt.Errorf("malformed chunk size %q", digits)
		case size == 0: // trailers may follow; nothing asks for them
			return body, nil
		}
		from := len(body)
		body = append(body, make([]byte, min(size, maxBody+1))...)
		if _, err := io.ReadFull(in.R, body[from:]); err != nil {
			return nil, err
		}
		if size > maxBody {
			break
		}
		if line, err := in.ReadLine(); err != nil {
			return nil, err
		} else if line != "" {
			return nil, errors.New("malformed chunk: it is longer than its size")
		}
	}
	return body, nil
}

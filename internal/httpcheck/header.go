package httpcheck

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxFile is the most that is read of a file of headers, in bytes.
const maxFile = 16 << 10

// Field is a line of a request header.
type Field struct{ Name, Value string }

// ReadFields reads a file with lines such as Authorization: Bearer abc. Only its first 16 KiB count; empty lines are
// ignored. It is an error, which repeats neither the file's name nor its text, if the file can't be read, has any other
// line, or sets a field that says where a request ends or whom it asks, such as Host.
func ReadFields(name string) ([]Field, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, Unreadable(err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil, Unreadable(err)
	}
	var fields []Field
	for line := range strings.Lines(string(content)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		name, value, is := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !is || name == "" || strings.ContainsFunc(name, notOfName) || strings.ContainsFunc(value, control) {
			return nil, errors.New("it must have lines such as Authorization: Bearer abc")
		}
		switch strings.ToLower(name) {
		case "host", "connection", "content-length", "transfer-encoding":
			return nil, errors.New("it must not set Host, Connection, Content-Length or Transfer-Encoding")
		}
		fields = append(fields, Field{name, value})
	}
	return fields, nil
}

// Unreadable says why a file can't be read. It does not repeat the file's name, which may hold a secret.
func Unreadable(err error) error {
	if failed, is := errors.AsType[*os.PathError](err); is {
		err = failed.Err
	}
	return fmt.Errorf("it can't be read: %w", err)
}

// notOfName is true if the name of a header field must not have r (RFC 9110, token).
func notOfName(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func control(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

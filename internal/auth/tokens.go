package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// lookEvery is how often the file is read. A change is taken over when two readings agree: a file that is half
	// written is not.
	lookEvery = 500 * time.Millisecond
	// unreadAfter is how old the last reading may be. An older one means that the file's disk hangs.
	unreadAfter = 10 * time.Second

	maxFile  = 1 << 20 // bytes
	maxToken = 256     // bytes of a token in a request
)

// Tokens are the tokens of one file, which is read again when it changes. While the file has a fault, the tokens read
// before stay in force. Tokens may be used by several goroutines.
type Tokens struct {
	path    string
	log     *slog.Logger
	entries atomic.Pointer[[]entry]

	seen, adopted reading // the last one, and the last that two agreed on; of Run alone

	mu     sync.Mutex // of what follows
	fault  error      // of the adopted reading
	readAt time.Time
}

// reading is what one look at the file found.
type reading struct{ text, fault string }

// Open reads the tokens of the file at path. Its error names the file, and the line.
func Open(path string, log *slog.Logger) (*Tokens, error) {
	t := &Tokens{path: path, log: log}
	t.seen = t.read()
	t.adopt(t.seen)
	return t, t.fault
}

// Run reads the file until ctx ends. A disk that hangs costs one goroutine, and does not delay the end.
func (t *Tokens) Run(ctx context.Context) {
	found := make(chan reading, 1)
	for {
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return
		}
		go func() { found <- t.read() }()
		select {
		case now := <-found:
			t.consider(now)
		case <-ctx.Done():
			return
		}
	}
}

func (t *Tokens) read() (found reading) {
	text, err := readFile(t.path)
	if err != nil {
		return reading{fault: err.Error()}
	}
	return reading{text: text}
}

// readFile returns the text of a regular file that only its owner can write.
func readFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO would wait for its writer
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no regular file", path)
	case info.Mode().Perm()&0o022 != 0:
		return "", fmt.Errorf("%s has mode %04o, so others can write it: chmod go-w", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return string(text), err
}

// consider takes a reading over if it equals the one before it.
func (t *Tokens) consider(now reading) {
	agree := now == t.seen
	t.seen = now
	if agree && now != t.adopted {
		t.adopt(now)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readAt = time.Now()
}

// adopt puts the tokens of a reading into force, or keeps its fault for Check.
func (t *Tokens) adopt(now reading) {
	t.adopted = now
	entries, fault := parse(now.text)
	switch {
	case now.fault != "":
		fault = fmt.Errorf("auth.tokens_path: %s", now.fault)
	case fault != nil:
		fault = fmt.Errorf("auth.tokens_path %s: %w", t.path, fault)
	}
	t.mu.Lock()
	t.fault, t.readAt = fault, time.Now()
	t.mu.Unlock()
	if fault != nil {
		return
	}
	old := t.entries.Load()
	keepLimits(entries, old)
	t.entries.Store(&entries)
	if old != nil {
		t.log.Info("the tokens changed", "file", t.path, "tokens", len(entries), "before", len(*old))
	}
}

// keepLimits gives callers their limiter, and those that were there before with the same rate the one they had.
func keepLimits(entries []entry, old *[]entry) {
	before := make(map[string]*Caller)
	if old != nil {
		for _, e := range *old {
			before[e.caller.Name] = e.caller
		}
	}
	for _, e := range entries {
		c := e.caller
		switch b := before[c.Name]; {
		case c.rate == 0 || c.limit != nil:
		case b != nil && b.rate == c.rate:
			c.limit = b.limit
		default:
			c.limit = newLimiter(c.rate)
		}
	}
}

// Find returns the caller of a token, or nil. How long it takes does not depend on the tokens.
func (t *Tokens) Find(token string) *Caller {
	if len(token) > maxToken {
		return nil
	}
	var text [maxToken]byte // on the stack: the hot path allocates nothing
	hash := sha256.Sum256(text[:copy(text[:], token)])
	entries, found := *t.entries.Load(), -1
	for i := range entries {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], entries[i].hash[:]), i, found)
	}
	if found < 0 {
		return nil
	}
	return entries[found].caller
}

// Check fails while the file is bad or cannot be read. It reads nothing itself.
func (t *Tokens) Check(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fault != nil {
		return fmt.Errorf("%w; the tokens that were read before stay in force", t.fault)
	}
	if age := time.Since(t.readAt); age > unreadAfter {
		return fmt.Errorf("auth.tokens_path %s was not read for %s: its disk may hang; the tokens stay in force",
			t.path, age.Round(time.Second))
	}
	return nil
}

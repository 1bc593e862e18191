// Package certificate owns the certificate that a listener shows: its files, when they are read again, and when it
// ends. It knows crypto/tls, and nothing of listeners and configuration.
package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"accountservice/internal/warning"
)

const (
	// warnBefore is how long before its end a certificate is warned of.
	warnBefore = 14 * 24 * time.Hour
	// maxFile bounds a file in bytes: a larger file is the wrong one.
	maxFile = 1 << 20
)

// Pair is a certificate with its chain, and its private key, from two files of PEM.
type Pair struct {
	certPath, keyPath string
	log               *slog.Logger
	served            atomic.Pointer[loaded]
	seen              [sha256.Size]byte // the sum that the last Check found; of Check alone
}

// loaded is what the files had when they were read.
type loaded struct {
	tls.Certificate
	sum [sha256.Size]byte // of both files
}

// Load reads the files. Its error names the file that can't be read, or says that the two do not belong together. A
// certificate that has ended is no error here.
func Load(certPath, keyPath string, log *slog.Logger) (*Pair, error) {
	p := &Pair{certPath: certPath, keyPath: keyPath, log: log}
	now, err := p.read(nil)
	p.served.Store(now)
	return p, err
}

// Get returns the certificate. It is for tls.Config.GetCertificate, and never waits for the files.
func (p *Pair) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return &p.served.Load().Certificate, nil
}

// Check reads the files again. If they have changed and can be used, the new certificate is served when the next Check
// finds the same; if they can't be used, the previous one stays, and the error says why. A certificate that has ended
// is an error, one that ends within 14 days a warning. It must not be called by two goroutines at once.
func (p *Pair) Check(context.Context) error {
	unread := p.refresh()
	leaf := p.served.Load().Leaf
	if err := inForce(leaf); err != nil {
		return err
	}
	switch left := time.Until(leaf.NotAfter); {
	case unread != nil:
		return fmt.Errorf("the certificate that was read before is served, until %s: %w", day(leaf.NotAfter), unread)
	case left <= warnBefore:
		return warning.Errorf("the certificate ends on %s, in %d days", day(leaf.NotAfter), int(left.Hours()/24))
	}
	return nil
}

// refresh reads the files again, and takes over what it finds the second time: a file that has the certificate and not
// yet its chain fits the key, too, and no client would trust it.
func (p *Pair) refresh() error {
	before := p.served.Load()
	now, err := p.read(before)
	if err != nil || now == before {
		return err
	}
	if err := inForce(now.Leaf); err != nil {
		return err
	}
	if now.sum != p.seen {
		p.seen = now.sum
		return nil
	}
	p.served.Store(now)
	p.log.Info("the certificate was replaced", "ends", now.Leaf.NotAfter)
	return nil
}

// read returns what is in the files, which is before if they have not changed.
func (p *Pair) read(before *loaded) (*loaded, error) {
	cert, err := readFile(p.certPath)
	if err != nil {
		return nil, err
	}
	key, err := readFile(p.keyPath)
	if err != nil {
		return nil, err
	}
	now := &loaded{sum: sha256.Sum256(fmt.Appendf(nil, "%d\n%s%s", len(cert), cert, key))}
	if before != nil && before.sum == now.sum {
		return before, nil
	}
	if now.Certificate, err = tls.X509KeyPair(cert, key); err != nil { // its text has nothing of the files
		return nil, fmt.Errorf("%s and %s are not a certificate and its key: %w", p.certPath, p.keyPath, err)
	}
	return now, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path) // first, because to open a named pipe would wait for ever
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no regular file of at most 1 MiB", path)
	}
	return os.ReadFile(path)
}

// inForce returns an error for a certificate that has ended, or is not valid yet.
func inForce(leaf *x509.Certificate) error {
	switch {
	case time.Until(leaf.NotAfter) <= 0:
		return fmt.Errorf("the certificate ended on %s: put a new one into the files of http.tls", day(leaf.NotAfter))
	case time.Until(leaf.NotBefore) > 0:
		return fmt.Errorf("the certificate is not valid before %s: see the clock of this machine",
			leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

package certificate_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/certificate"
	"accountservice/tests/harness"
)

const year = 365 * 24 * time.Hour

func load(t *testing.T, file string) (*certificate.Pair, error) {
	t.Helper()
	return certificate.Load(file, harness.KeyOf(file), slog.New(slog.DiscardHandler))
}

// serves fails the test unless the pair serves the certificate with this end.
func serves(t *testing.T, p *certificate.Pair, end time.Time) {
	t.Helper()
	if got, err := p.Get(nil); err != nil || !got.Leaf.NotAfter.Equal(end) {
		t.Errorf("it serves a certificate that ends %s, want %s: %v", got.Leaf.NotAfter, end, err)
	}
}

func TestFilesThatCannotBeUsedAreAnErrorThatNamesThem(t *testing.T) {
	ca := harness.NewAuthority(t)
	for name, c := range map[string]struct {
		spoil func(cert, key string) error
		says  string // of the file's name, too
	}{
		"no certificate": {func(cert, _ string) error { return os.Remove(cert) }, "cert.pem: no such file"},
		"no key":         {func(_, key string) error { return os.Remove(key) }, "key.pem: no such file"},
		"half written":   {func(cert, _ string) error { return os.Truncate(cert, 100) }, "cert.pem and "},
		"empty key":      {func(_, key string) error { return os.Truncate(key, 0) }, "failed to find any PEM data in key input"},
		"key of another": {func(_, key string) error {
			other := filepath.Join(filepath.Dir(key), "other", "cert.pem")
			if err := os.Mkdir(filepath.Dir(other), 0o700); err != nil {
				return err
			}
			ca.Pair(t, other, year)
			return os.Rename(harness.KeyOf(other), key)
		}, "private key does not match public key"},
		"folder":     {func(cert, _ string) error { return errors.Join(os.Remove(cert), os.Mkdir(cert, 0o700)) }, "is no regular file"},
		"named pipe": {func(cert, _ string) error { return errors.Join(os.Remove(cert), syscall.Mkfifo(cert, 0o600)) }, "is no regular file"},
		"too large":  {func(cert, _ string) error { return os.Truncate(cert, 2<<20) }, "at most 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "cert.pem")
			good := ca.Pair(t, file, year)
			running, err := load(t, file)
			harness.Must(t, err)
			harness.Must(t, c.spoil(file, harness.KeyOf(file)))
			if _, err := load(t, file); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("at the start: %v, want %q", err, c.says)
			}
			err = running.Check(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "read before is served") {
				t.Errorf("later: %v, want %q", err, c.says)
			}
			serves(t, running, good.NotAfter)
			harness.Must(t, os.RemoveAll(file))
			mended := ca.Pair(t, file, 2*year)
			harness.Must(t, running.Check(t.Context()))
			harness.Must(t, running.Check(t.Context()))
			serves(t, running, mended.NotAfter)
		})
	}
}

func TestEndOfACertificateIsAWarningBeforeAndAFailureAfter(t *testing.T) {
	ca := harness.NewAuthority(t)
	const day = 24 * time.Hour
	for _, c := range []struct {
		left          time.Duration
		warning, says string
	}{
		{15 * day, "", ""},
		{14*day - time.Hour, "in 13 days", ""},
		{time.Hour, "in 0 days", ""},
		{-time.Hour, "", "the certificate ended on "},
	} {
		file := filepath.Join(t.TempDir(), "cert.pem")
		ca.Pair(t, file, c.left)
		p, err := load(t, file)
		harness.Must(t, err)
		err = p.Check(t.Context())
		warner, warns := err.(interface{ Warning() string })
		switch {
		case c.warning != "" && (!warns || !strings.Contains(warner.Warning(), c.warning)),
			c.says != "" && (err == nil || warns || !strings.Contains(err.Error(), c.says)),
			c.warning+c.says == "" && err != nil:
			t.Errorf("%s before its end: %v, want the warning %q or the failure %q", c.left, err, c.warning, c.says)
		}
	}
}

func TestCertificateThatIsNotInForceReplacesNone(t *testing.T) {
	ca := harness.NewAuthority(t)
	for says, replace := range map[string]func(file string){
		"the certificate ended on ": func(file string) { ca.Pair(t, file, -time.Hour) },
		"not valid before":          func(file string) { ca.LaterPair(t, file, time.Hour) },
	} {
		file := filepath.Join(t.TempDir(), "cert.pem")
		good := ca.Pair(t, file, year)
		p, err := load(t, file)
		harness.Must(t, err)
		replace(file)
		for range 3 {
			if err := p.Check(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%v, want that the files have a certificate with: %s", err, says)
			}
		}
		serves(t, p, good.NotAfter)
	}
}

// A file with the certificate and without its chain fits the key.
func TestChainThatIsHalfWrittenIsNotServed(t *testing.T) {
	ca, file := harness.NewAuthority(t), filepath.Join(t.TempDir(), "cert.pem")
	good := ca.Pair(t, file, year)
	p, err := load(t, file)
	harness.Must(t, err)
	chain := []byte(harness.Read(t, ca.File))
	replaced := ca.Pair(t, file, 2*year)
	harness.Must(t, p.Check(t.Context()))
	serves(t, p, good.NotAfter)
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	harness.Must(t, err)
	_, err = f.Write(chain)
	harness.Must(t, errors.Join(err, f.Close()))
	harness.Must(t, p.Check(t.Context()))
	serves(t, p, good.NotAfter)
	harness.Must(t, p.Check(t.Context()))
	serves(t, p, replaced.NotAfter)
	if got, err := p.Get(nil); err != nil || len(got.Certificate) != 2 {
		t.Errorf("it serves %d certificates, want that and its chain: %v", len(got.Certificate), err)
	}
}

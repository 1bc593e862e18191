package dependency

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// tlsSettings is how TLS is spoken with a service.
type tlsSettings struct {
	config *tls.Config
	set    bool // by an option of the URL
	warn   time.Duration
}

// tlsOptions reads the options of TLS. Certificates are always verified; server_name is the name they are verified
// for, ca_file who signs them, and cert_warn how long before their end to warn.
func (t *target) tlsOptions() (*tlsSettings, error) {
	file, named, badFile := t.options.take("ca_file")
	server, renamed, badName := t.options.take("server_name")
	warn, badWarn := t.options.duration("cert_warn", 14*24*time.Hour)
	s := &tlsSettings{config: &tls.Config{ServerName: t.url.Hostname()}, set: named || renamed, warn: warn}
	if renamed {
		s.config.ServerName = server
	}
	if named && badFile == nil {
		s.config.RootCAs, badFile = readRoots(file)
	}
	return s, errors.Join(badFile, badName, badWarn)
}

// readRoots reads PEM certificates, at most 1 MiB of them.
func readRoots(file string) (*x509.CertPool, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, errors.New("names a file in option ca_file that can't be found: is it mounted, and the name right?")
	case !info.Mode().IsRegular() || info.Size() > 1<<20:
		return nil, errors.New("names in option ca_file what is no regular file of at most 1 MiB")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, errors.New("names a file in option ca_file that can't be read: see its owner and mode")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, errors.New("names a file in option ca_file without a PEM certificate")
	}
	return roots, nil
}

// validUntil is the first end in the chain that is valid longest.
func validUntil(chains [][]*x509.Certificate) (end time.Time) {
	byEnd := func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }
	for _, chain := range chains {
		if first := slices.MinFunc(chain, byEnd).NotAfter; first.After(end) {
			end = first
		}
	}
	return end
}

// endsSoon warns of the end of a certificate.
func endsSoon(end time.Time, warn time.Duration) error {
	left := time.Until(end)
	switch {
	case end.IsZero() || left > warn:
		return nil
	case left <= 0:
		return &warning{"its certificate ended on " + day(end) + ": the next connection will fail"}
	}
	return &warning{fmt.Sprintf("its certificate ends on %s, in %d days", day(end), int(left.Hours()/24))}
}

package dependency

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"time"

	"accountservice/internal/warning"
)

type tlsSettings struct {
	config *tls.Config
	set    bool // by an option of the URL
	warn   time.Duration
	// anyName is true if a certificate of config.RootCAs is accepted for any host name.
	anyName bool

	rootsFile         string // of config.RootCAs; "" for the system's
	certFile, keyFile string // of our own certificate; "" without
}

// tlsOptions reads the options of TLS. Certificates are always verified; server_name is the name they are verified for,
// ca_file who signs them, and cert_warn how long before their end to warn. cert_file and key_file are a certificate for
// a server that wants one of its clients.
func (t *target) tlsOptions() *tlsSettings {
	roots, server := t.take("ca_file"), t.take("server_name")
	s := &tlsSettings{config: &tls.Config{ServerName: cmp.Or(server, t.url.Hostname())},
		warn: t.duration("cert_warn", 14*24*time.Hour), rootsFile: roots, certFile: t.take("cert_file"), keyFile: t.take("key_file")}
	s.set = roots+server+s.certFile != ""
	if roots != "" {
		s.config.RootCAs = t.readRoots(roots)
	}
	switch {
	case (s.certFile == "") != (s.keyFile == ""):
		t.fault("must have both cert_file and key_file, or none")
	case s.certFile != "":
		if _, err := s.clientCertificate(); err != nil {
			t.fault("has a cert_file and key_file that are no certificate in PEM with its key: are both mounted and readable?")
		}
	}
	return s
}

// clientCertificate is read for every connection, so that a renewed one needs no restart.
func (s *tlsSettings) clientCertificate() (*tls.Certificate, error) {
	if s.certFile == "" {
		return &tls.Certificate{}, nil
	}
	if !isFile(s.certFile) || !isFile(s.keyFile) {
		return nil, errNoPair
	}
	pair, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
	if err != nil {
		return nil, errNoPair
	}
	return &pair, nil
}

var errNoPair = verdictf("the files of cert_file and key_file can't be used any more")

// readRoots reads PEM certificates, at most 1 MiB of them.
func (t *target) readRoots(file string) *x509.CertPool {
	if roots := rootsIn(file); roots != nil {
		return roots
	}
	if _, err := os.Stat(file); err != nil {
		t.fault("names a file in option ca_file that can't be found: is it mounted, and the name right?")
	} else if !isFile(file) {
		t.fault("names in option ca_file what is no regular file of at most 1 MiB")
	} else if _, err := os.ReadFile(file); err != nil {
		t.fault("names a file in option ca_file that can't be read: see its owner and mode")
	} else {
		t.fault("names a file in option ca_file without a PEM certificate")
	}
	return x509.NewCertPool()
}

// rootsIn returns the certificates of a file, nil if there are none. It is called for every connection, so that renewed
// ones need no restart.
func rootsIn(file string) *x509.CertPool {
	if !isFile(file) {
		return nil
	}
	content, _ := os.ReadFile(file)
	if roots := x509.NewCertPool(); roots.AppendCertsFromPEM(content) {
		return roots
	}
	return nil
}

// verifyAnyName returns the chains from the certificates of a server to these roots, or the error that package tls
// would return.
func verifyAnyName(sent []*x509.Certificate, roots *x509.CertPool) ([][]*x509.Certificate, error) {
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range sent[1:] {
		options.Intermediates.AddCert(c)
	}
	chains, err := sent[0].Verify(options)
	if err != nil {
		return nil, &tls.CertificateVerificationError{UnverifiedCertificates: sent, Err: err}
	}
	return chains, nil
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

func endsSoon(end time.Time, warn time.Duration) error {
	left := time.Until(end)
	switch {
	case end.IsZero() || left > warn:
		return nil
	case left <= 0:
		return warning.Errorf("its certificate ended on %s: the next connection will fail", day(end))
	}
	return warning.Errorf("its certificate ends on %s, in %d days", day(end), int(left.Hours()/24))
}

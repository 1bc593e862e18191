package pgstore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store/pgstore"
	"accountservice/tests/harness"
)

// speakTLS gives the server a certificate of this authority, and returns the URL for TLS.
func speakTLS(t *testing.T, own *harness.Postgres, ca *harness.Authority) (url string) {
	t.Helper()
	certificate := filepath.Join(own.Folder, "data", "server.crt")
	ca.Pair(t, certificate, time.Hour)
	harness.Must(t, os.Rename(harness.KeyOf(certificate), filepath.Join(own.Folder, "data", "server.key")))
	if as := harness.Unprivileged(t); as != nil {
		for _, name := range []string{"server.crt", "server.key"} {
			harness.Must(t, os.Chown(filepath.Join(own.Folder, "data", name), int(as.Credential.Uid), int(as.Credential.Gid)))
		}
	}
	own.SQL(t, "postgres", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
	url = strings.TrimSuffix(own.URL("postgres", "postgres"), "?sslmode=disable")
	harness.Must(t, harness.Eventually(20*time.Second, func() error {
		return errOf(pgstore.Open(t.Context(), options(t, url+"?sslrootcert="+ca.File)))
	}))
	return url
}

func TestCertificateOfTheServerIsVerified(t *testing.T) {
	t.Parallel()
	own := startOwn(t)
	known, stranger := harness.NewAuthority(t), harness.NewAuthority(t)
	url := speakTLS(t, own, known)
	for option, want := range map[string]string{
		"":                              "the server's certificate is not valid for its name",
		"?sslrootcert=" + stranger.File: "the server's certificate is not valid for its name",
		"?sslrootcert=" + known.File:    "",
		"?sslmode=verify-full&sslrootcert=" + known.File: "",
	} {
		s, err := pgstore.Open(t.Context(), options(t, url+option))
		switch {
		case want == "" && err == nil:
			says(t, s, "")
		case want == "" || err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%q: %v, want %q", option, err, want)
		}
	}
}

func TestRenewedRootsAreTrustedWithoutARestart(t *testing.T) {
	t.Parallel()
	own := startOwn(t)
	old, next := harness.NewAuthority(t), harness.NewAuthority(t)
	s := open(t, options(t, speakTLS(t, own, old)+"?sslrootcert="+old.File))
	says(t, s, "")
	speakTLS(t, own, next)
	s.PoolForTest().Reset()
	says(t, s, "the server's certificate is not valid for its name")
	harness.Must(t, os.WriteFile(old.File, nil, 0o600)) // half a copy: those of before are trusted
	says(t, s, "the server's certificate is not valid for its name")
	harness.Must(t, os.Rename(next.File, old.File))
	says(t, s, "")
}

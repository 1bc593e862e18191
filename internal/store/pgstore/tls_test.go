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

func TestCertificateOfTheServerIsVerified(t *testing.T) {
	t.Parallel()
	own := startOwn(t)
	known, stranger := harness.NewAuthority(t), harness.NewAuthority(t)
	certificate := filepath.Join(own.Folder, "data", "server.crt")
	known.Pair(t, certificate, time.Hour)
	harness.Must(t, os.Rename(harness.KeyOf(certificate), filepath.Join(own.Folder, "data", "server.key")))
	if as := harness.Unprivileged(t); as != nil {
		for _, name := range []string{"server.crt", "server.key"} {
			harness.Must(t, os.Chown(filepath.Join(own.Folder, "data", name), int(as.Credential.Uid), int(as.Credential.Gid)))
		}
	}
	own.SQL(t, "postgres", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
	url := strings.TrimSuffix(own.URL("postgres", "postgres"), "?sslmode=disable")
	harness.Must(t, harness.Eventually(20*time.Second, func() error { // TLS is on
		return errOf(pgstore.Open(t.Context(), options(t, url+"?sslmode=require")))
	}))
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

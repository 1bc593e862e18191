package pgstore_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
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

func TestSilentHostLeavesTimeForTheOthers(t *testing.T) {
	t.Parallel()
	silent := harness.FullQueue(t, "tcp4", "127.0.0.1:0") // as a machine that has lost its power
	url := strings.Replace(fresh(t), "@", "@"+silent+",", 1)
	opts := options(t, url)
	opts.AcquireTimeout = 2 * time.Second
	s := open(t, opts)
	if _, err := s.Put(t.Context(), "ada", store.Draft{Name: "Ada"}, store.Preconditions{}); err != nil {
		t.Errorf("with a silent host before the primary: %v", err)
	}
}

func TestCheckNamesEachHostThatCannotBeReached(t *testing.T) {
	t.Parallel()
	const url = "postgres://me:secret@127.0.0.1:1,127.0.0.1:2/accounts?sslmode=disable"
	s := open(t, options(t, url))
	if err := s.Check(t.Context()); err == nil || err.Error() !=
		"the server cannot be reached: 127.0.0.1:1: connection refused; 127.0.0.1:2: connection refused" {
		t.Errorf("Check = %v", err)
	}
}

// With a long store.postgres.acquire_timeout a call tries a server that refuses connections hundreds of times.
func TestPauseHasABoundAfterAnyNumberOfFailures(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for failures := range 1000 {
		if pgstore.PauseForTest(ended, failures+1) {
			t.Errorf("pause %d allows an attempt after the end of its context", failures+1)
		}
	}
}

package handlers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"accountservice/internal/handlers"
	"accountservice/internal/store"
)

// backups gives this copy, or fails.
type backups struct {
	err  error
	copy io.Reader
	size int64
}

func (b backups) Backup(context.Context) (*handlers.Copy, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.copy == nil {
		b.copy, b.size = strings.NewReader("all accounts"), 12
	}
	return &handlers.Copy{ReadCloser: io.NopCloser(b.copy), Name: "accounts-1.db", Size: b.size}, nil
}

func serveBackups(t *testing.T, parts *handlers.Parts) service {
	t.Helper()
	live := handlers.NewLive()
	if parts != nil {
		live.Serve(*parts)
	}
	return serveHandler(t, handlers.NewAdmin(adminOver(live)))
}

func TestBackupIsAFileWithItsLength(t *testing.T) {
	answer := serveBackups(t, &handlers.Parts{Backup: backups{}.Backup}).do(t, "POST", "/backup", "")
	if answer.StatusCode != 200 || answer.body != "all accounts" || answer.ContentLength != 12 ||
		answer.Header.Get("Content-Disposition") != "attachment; filename=accounts-1.db" {
		t.Errorf("got %d %v %q", answer.StatusCode, answer.Header, answer.body)
	}
}

func TestBackupThatCannotBeSaysWhy(t *testing.T) {
	fails := func(err error) *handlers.Parts { return &handlers.Parts{Backup: backups{err: err}.Backup} }
	for _, c := range []struct {
		from   *handlers.Parts
		status int
		want   string
	}{
		{nil, 503, "starting"},
		{&handlers.Parts{}, 501, "pg_dump"},
		{fails(fmt.Errorf("bolt: %w", handlers.ErrBackupRuns)), 409, "under way"},
		{fails(handlers.NoBackup(errors.New("page 7 is damaged"))), 500, "There is no backup: page 7 is damaged"},
		{fails(handlers.NoBackup(fmt.Errorf("bolt: %w: it is closed", store.ErrUnavailable))), 503, "it is closed"},
		{fails(errors.New("a secret of the disk")), 500, "Internal Server Error"},
	} {
		answer := serveBackups(t, c.from).do(t, "POST", "/backup", "")
		if answer.StatusCode != c.status || !strings.Contains(answer.body, c.want) || strings.Contains(answer.body, "secret") {
			t.Errorf("got %d %s, want %d with %q", answer.StatusCode, answer.body, c.status, c.want)
		}
	}
}

// A client that gives a backup up, or a stop that ends it, is no failure of the service.
func TestBackupThatIsGivenUpIsNotLogged(t *testing.T) {
	var log bytes.Buffer
	live := handlers.NewLive()
	live.Serve(handlers.Parts{Backup: backups{err: handlers.NoBackup(fmt.Errorf("bolt backup: %w", context.Canceled))}.Backup})
	admin := adminOver(live)
	admin.Log = slog.New(slog.NewTextHandler(&log, nil))
	serveHandler(t, handlers.NewAdmin(admin)).do(t, "POST", "/backup", "").isProblem(t, 503)
	if strings.Contains(log.String(), "request failed") {
		t.Error(log.String())
	}
}

func TestBackupWhoseFileEndsEarlyIsCut(t *testing.T) {
	s := serveBackups(t, &handlers.Parts{Backup: backups{copy: io.MultiReader(strings.NewReader("all"), failing{}), size: 12}.Backup})
	resp, err := s.Client().Post(s.URL+"/backup", "", nil)
	if err != nil {
		return // so early that no header arrived
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q is taken for all of it", body)
	}
}

// failing is a file whose disk fails.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the disk fails") }

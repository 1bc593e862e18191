package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"accountservice/internal/store/transfer"
)

// pageTimeout bounds each read of the database in an export.
const pageTimeout = 30 * time.Second

// newExportCommand writes all accounts as lines.
func newExportCommand(load loadConfig, stdout, stderr io.Writer) *cobra.Command {
	var url, output string
	cmd := &cobra.Command{
		Use: "export", Short: "Write all accounts as lines of JSON; exit 0, 1, 2 or 4",
		Long: "Writes all accounts, one JSON object a line in the order of their ids, to standard output or with --output to a\n" +
			"file, which is there whole or not at all; a new one only its owner can read, one that is replaced keeps its mode.\n" +
			"They come from the database of the configuration, which no service may have open then, or with --url from a\n" +
			"running service, if all of it arrives; what changes meanwhile is in the export or not.\n\n" +
			"Exit codes: 0 all accounts are written; 1 failed; 2 configuration or usage; 4 told to stop before it was done.\n" +
			"After another code than 0, what was written to standard output is not whole.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			from, done, err := openSource(ctx, load, url, stderr)
			if err != nil {
				return failed(stderr, "export", err)
			}
			defer done()
			shown := newMeter(stderr, "accounts", 0)
			shown.live = shown.live && (output != "" || !isTerminal(stdout)) // they would stand in each other's way
			counted := &lineCounter{shown: shown}
			err = writeOut(output, stdout, func(w io.Writer) error {
				return from(ctx, io.MultiWriter(w, counted))
			})
			shown.clear()
			if err != nil {
				err = failed(stderr, "export", err)
				if ctx.Err() != nil {
					return &exit{exitCutShort, err}
				}
				return err
			}
			fmt.Fprintf(stderr, "exported %d accounts in %s\n", counted.lines, time.Since(shown.begun).Round(time.Millisecond))
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "of a running service, such as http://localhost:6767; default: the file of store.bolt.path")
	cmd.Flags().StringVar(&output, "output", "", "file to write, replaced if it is there; default: standard output")
	return cmd
}

// lineCounter shows how many lines were written.
type lineCounter struct {
	lines int
	bytes int64
	shown *meter
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines += bytes.Count(p, []byte{'\n'})
	c.bytes += int64(len(p))
	c.shown.show(c.lines, c.bytes)
	return len(p), nil
}

// openSource returns what writes all accounts, of the service at url or else of
// the database.
func openSource(ctx context.Context, load loadConfig, url string, stderr io.Writer) (from func(context.Context, io.Writer) error, done func(), err error) {
	if url != "" {
		service, err := newRemote(url)
		if err != nil {
			return nil, nil, &exit{exitUsage, err}
		}
		return service.export, func() {}, nil
	}
	cfg, err := load()
	if err != nil {
		return nil, nil, err
	}
	accounts, err := openDatabase(ctx, cfg.Config, true, stderr)
	if err != nil {
		return nil, nil, err
	}
	from = func(ctx context.Context, w io.Writer) error {
		return transfer.Export(ctx, accounts, w, pageTimeout)
	}
	return from, func() { closeStore(accounts, newLogger(cfg.Log, stderr)) }, nil
}

// errSilent ends an export of which nothing comes any more.
var errSilent = errors.New("the service sends nothing any more")

// export copies what the service exports, and fails unless all of it came.
func (r *remote) export(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base.JoinPath("accounts:export").String(), nil)
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	body := &awakeBody{resp.Body, r.silence, time.AfterFunc(r.silence, func() { cancel(errSilent) })}
	defer body.Close()
	resp.Body = body
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	kind := resp.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(kind); err != nil || media != mediaType {
		return fmt.Errorf("%s: the answer is no export: its Content-Type is %q, not %s", resp.Request.URL.Redacted(), kind, mediaType)
	}
	digest := sha256.New()
	_, err = io.Copy(io.MultiWriter(digest, w), body)
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		err = fmt.Errorf("%w, for %s", errSilent, r.silence)
	}
	if err != nil {
		return fmt.Errorf("the export was cut: %w", err)
	}
	// An end alone is no proof: a proxy may have made one of a broken connection.
	switch want, got := resp.Trailer.Get("Content-Digest"), "sha-256=:"+base64.StdEncoding.EncodeToString(digest.Sum(nil))+":"; {
	case want == "":
		return errors.New("the export may be cut: it came without the trailer Content-Digest, which a whole one has and some proxies drop")
	case want != got:
		return fmt.Errorf("the export came changed: its Content-Digest is %s, and what arrived has %s", want, got)
	}
	return nil
}

// awakeBody lets timer run while it waits for the sender, and not while what it
// read is written.
type awakeBody struct {
	io.ReadCloser
	wait  time.Duration
	timer *time.Timer
}

func (a *awakeBody) Read(p []byte) (int, error) {
	a.timer.Reset(a.wait)
	defer a.timer.Stop()
	return a.ReadCloser.Read(p)
}

func (a *awakeBody) Close() error {
	a.timer.Stop()
	return a.ReadCloser.Close()
}

// writeOut lets write fill the file at path, which appears whole or stays as it
// was; "" is stdout. A new file is for its owner alone, as the accounts are
// private; one that is replaced keeps its mode.
func writeOut(path string, stdout io.Writer, write func(io.Writer) error) (err error) {
	if path == "" {
		return write(stdout)
	}
	mode := fs.FileMode(0o600)
	switch info, err := os.Lstat(path); {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file (%s); write to standard output", path, info.Mode())
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := errors.Join(write(f), f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

package handlers

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/auth"
)

const octets = "application/octet-stream"

func registerBackup(e *edge, live *Live) {
	file := map[string]*huma.MediaType{octets: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	register(e, operation{
		id: "make-backup", method: http.MethodPost, path: "/backup", scope: auth.Admin, stream: true, media: octets,
		summary: "A copy of the database",
		description: "All accounts as one transaction left them, in a file that was verified before its first byte is sent. " +
			"It is made while the accounts are served. One is made at a time.",
		errors:  []int{http.StatusConflict, http.StatusNotImplemented},
		success: map[string]*huma.Response{"200": {Description: "The file", Content: file}},
	}, func(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
		from, err := live.serving()
		if err != nil {
			return nil, err
		}
		if from.Backup == nil {
			return nil, problem(http.StatusNotImplemented, "The accounts are in PostgreSQL, which has tools for that: pg_dump, "+
				"or archived WAL for any point in time. accountservice export writes all accounts as lines of JSON.")
		}
		made, err := from.Backup(ctx)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(huma.Context) {
			defer made.Close()
			c := receivedOf(ctx).gin
			header := c.Writer.Header()
			header.Set("Content-Type", octets)
			header.Set("Content-Length", strconv.FormatInt(made.Size, 10))
			header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": made.Name}))
			c.Status(http.StatusOK)
			if _, err := io.Copy(c.Writer, made); err != nil { // of reading: see placedWriter
				e.log.failed(ctx, "make-backup", err)
				panic(http.ErrAbortHandler)
			}
		}}, nil
	})
}

// NoBackup is the error of a Parts.Backup that made no copy, and why. Its problem names that: who may have all accounts may
// know it. One that was given up is no failure, and stays as it is.
func NoBackup(why error) error {
	if errors.Is(why, context.Canceled) {
		return why
	}
	p := problemOf(why)
	p.Detail = "There is no backup: " + why.Error()
	return p
}

package handlers

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
)

// Problem is the body of every 4xx and 5xx (RFC 9457).
type Problem struct {
	Type     string         `json:"type,omitempty" format:"uri-reference" doc:"Kind; absent where the status says all"`
	Title    string         `json:"title" doc:"Short name of the kind"`
	Status   int            `json:"status" doc:"HTTP status code"`
	Detail   string         `json:"detail,omitempty" doc:"What went wrong this time, and what to do"`
	Instance string         `json:"instance,omitempty" format:"uri-reference" doc:"/requests/ and the X-Request-Id; a name, not a place"`
	Errors   []InvalidField `json:"errors,omitempty" maxItems:"50" doc:"Parts of the request that were refused, at most 50"`
	Imported *ImportCount   `json:"imported,omitempty" doc:"How far an import went"`

	retryAfter, acceptPatch string // headers
}

// InvalidField is one part of a request that was refused. Its value is never
// repeated.
type InvalidField struct {
	Line      int    `json:"line,omitempty" doc:"Which line of an import, from 1"`
	Pointer   string `json:"pointer,omitempty" doc:"Where in the body, as a JSON Pointer (RFC 6901) in a fragment"`
	Parameter string `json:"parameter,omitempty" doc:"Which parameter of path, query or header"`
	Detail    string `json:"detail" doc:"What is wrong with it"`
}

// ImportCount is how far an import went.
type ImportCount struct {
	Created   int `json:"created" minimum:"0"`
	Replaced  int `json:"replaced" minimum:"0"`
	Unchanged int `json:"unchanged" minimum:"0" doc:"Accounts that had this content already"`
	Lines     int `json:"lines" minimum:"0" doc:"Lines done with, empty ones included"`
}

const (
	problemType = "application/problem+json"
	// maxErrors bounds what a problem lists: an answer is not to be longer than what
	// it refuses.
	maxErrors = 50
)

// Error, GetStatus, ContentType and GetHeaders are what huma asks an error for.
func (p *Problem) Error() string             { return p.Title + ": " + p.Detail }
func (p *Problem) GetStatus() int            { return p.Status }
func (p *Problem) ContentType(string) string { return problemType }
func (p *Problem) GetHeaders() http.Header {
	header := make(http.Header)
	if p.retryAfter != "" {
		header.Set("Retry-After", p.retryAfter)
	}
	if p.acceptPatch != "" {
		header.Set("Accept-Patch", p.acceptPatch)
	}
	return header
}

// problem returns one that is no more than its status.
func problem(status int, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail}
}

// unprocessable is of parts that can be read and are wrong.
func unprocessable(fields ...InvalidField) *Problem {
	slices.SortFunc(fields, func(a, b InvalidField) int { // some come from a map, in random order
		return cmp.Compare(a.Parameter, b.Parameter)
	})
	p := problemOf(errInvalid)
	p.Errors = fields[:min(len(fields), maxErrors)]
	return p
}

// malformed is of a header that can't be read.
func malformed(header, detail string) *Problem {
	p := problem(http.StatusBadRequest, "A header of the request is malformed. Nothing was changed.")
	p.Errors = []InvalidField{{Parameter: header, Detail: detail}}
	return p
}

// writeProblem answers with the problem that err is, and ends the request.
func writeProblem(c *gin.Context, err error) {
	p := problemOf(err)
	p.Instance = instance(c.Request.Context())
	for name, values := range p.GetHeaders() {
		c.Writer.Header()[name] = values
	}
	c.Abort()
	writeJSON(c, p.Status, problemType, p)
}

func writeJSON(c *gin.Context, status int, media string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	c.Data(status, media, append(text, '\n'))
}

package boltstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Finding is one damage of a database file.
type Finding struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

func (f Finding) String() string { return f.Where + ": " + f.What }

// maxFindings is how many of them a Report lists: a file full of damage has one
// for each record.
const maxFindings = 1000

// Report is what Verify found.
type Report struct {
	File string `json:"file"`
	// Intact: all of the file was read and nothing was found.
	Intact   bool      `json:"intact"`
	Findings []Finding `json:"findings"`
	Omitted  int       `json:"omitted"` // how many more there were

	Accounts int `json:"accounts"`
	// Unchecked counts the accounts in the tutorial's form. It has no checksum:
	// a letter changed in such a name is not found.
	Unchecked   int    `json:"unchecked"`
	Size        int64  `json:"size"` // in bytes
	PageSize    int64  `json:"page_size"`
	Pages       int64  `json:"pages"` // below the high-water mark
	FreePages   int64  `json:"free_pages"`
	Transaction uint64 `json:"transaction"`
}

func (r *Report) add(f Finding) {
	if len(r.Findings) == maxFindings {
		r.Omitted++
		return
	}
	r.Findings = append(r.Findings, f)
}

// message is a line of JSON from the worker: one of its fields.
type message struct {
	Stage   string   `json:"stage,omitempty"` // what it does from now on
	Finding *Finding `json:"finding,omitempty"`
	Done    *Report  `json:"done,omitempty"`  // the numbers; it is the last message
	Error   string   `json:"error,omitempty"` // why there is no verdict; it is the last message
}

// Verify reads the whole database file at path, which no process may have open
// for writing, and returns all damage that it finds: in both meta pages, in
// the tree and the list of free pages, in each record. It never changes the
// file, and keeps it locked (shared) while it reads, so that no service can
// open it. An error means that there is no verdict: no such file, not a regular
// one, locked, or ctx ended before anything was found.
//
// worker is a command that runs VerifyWorker with path. The file is read there
// because a damaged or failing one can end or hang the process that reads it;
// such an end is a finding. The worker is killed when ctx ends.
//
// Without a worker the file is read in this process.
func Verify(ctx context.Context, path string, worker ...*exec.Cmd) (Report, error) {
	report := Report{File: path, Findings: []Finding{}}
	var err error
	if len(worker) == 0 {
		messages, ended := make(chan message), make(chan error, 1)
		go func() {
			examine(path, func(m message) {
				select {
				case messages <- m:
				case <-ctx.Done():
				}
			})
			ended <- nil
		}()
		report, err = follow(ctx, report, messages, ended, func() {}, &head{})
	} else {
		report, err = verify(ctx, report, worker[0])
	}
	if err != nil {
		return report, fmt.Errorf("bolt verify %s: %w", path, err)
	}
	return report, nil
}

// killWait is how long to wait for the end of a killed worker. One that waits
// for a hanging disk ends when the disk does.
const killWait = 2 * time.Second

func verify(ctx context.Context, report Report, worker *exec.Cmd) (Report, error) {
	// the worker ends when this pipe does, so it never outlives this process
	alive, err := worker.StdinPipe()
	if err != nil {
		return report, err
	}
	defer alive.Close()
	out, err := worker.StdoutPipe()
	if err != nil {
		return report, err
	}
	var said head
	worker.Stderr = &said
	if err := worker.Start(); err != nil {
		return report, err
	}
	messages, ended := make(chan message), make(chan error, 1)
	go func() {
		listen(ctx, out, messages)
		ended <- worker.Wait()
	}()
	return follow(ctx, report, messages, ended, func() { worker.Process.Kill() }, &said)
}

// follow makes a report of the messages, until the reader of the file ended or ctx does.
func follow(ctx context.Context, report Report, messages <-chan message, ended <-chan error, kill func(), said *head) (Report, error) {
	stage := "starting"
	var last message
	for {
		select {
		case m := <-messages:
			switch {
			case m.Finding != nil:
				report.add(*m.Finding)
			case m.Stage != "":
				stage = m.Stage
			default:
				last = m
			}
		case err := <-ended:
			return conclude(report, last, stage, err, said.String())
		case <-ctx.Done():
			kill()
			select {
			case <-ended:
			case <-time.After(killWait):
			}
			err := fmt.Errorf("not finished with %s: %w", stage, ctx.Err())
			if len(report.Findings) == 0 {
				return report, err
			}
			report.add(Finding{stage, fmt.Sprintf("not finished (%v); there may be more", ctx.Err())})
			return report, nil
		}
	}
}

// listen hands on what the worker says, until it ends or ctx does.
func listen(ctx context.Context, out io.Reader, messages chan<- message) {
	for decoder := json.NewDecoder(out); ; {
		var m message
		if decoder.Decode(&m) != nil {
			io.Copy(io.Discard, out) // a full pipe would keep the worker from ending
			return
		}
		select {
		case messages <- m:
		case <-ctx.Done():
		}
	}
}

// conclude makes a verdict of the worker's last message, or of its death.
func conclude(report Report, last message, stage string, err error, said string) (Report, error) {
	switch death := lastWords(said); {
	case last.Error != "":
		return report, errors.New(last.Error)
	case last.Done != nil:
		numbers := *last.Done
		numbers.File, numbers.Findings, numbers.Omitted = report.File, report.Findings, report.Omitted
		numbers.Intact = len(report.Findings) == 0
		return numbers, nil
	case death != "":
		report.add(Finding{stage, "the check died of the file: " + death})
		return report, nil
	default: // killed for want of memory, by a person: that says nothing of the file
		return report, fmt.Errorf("the process that read it ended early, with %s: %v %s", stage, err, said)
	}
}

// shortages are what the Go runtime says when it dies for want of memory or
// threads. That is no word about the file.
var shortages = []string{"out of memory", "cannot allocate", "failed to reserve", "newosproc", "failed to create new OS thread"}

// lastWords returns what the Go runtime says when a process dies of a panic or
// a memory fault.
func lastWords(said string) string {
	for _, shortage := range shortages {
		if strings.Contains(said, shortage) {
			return ""
		}
	}
	var words []string
	for line := range strings.Lines(said) {
		for _, start := range []string{"panic: ", "fatal error: ", "unexpected fault", "[signal "} {
			if strings.HasPrefix(line, start) {
				words = append(words, strings.TrimSpace(line))
			}
		}
	}
	return strings.Join(words, "; ")
}

// head keeps the beginning of what is written to it.
type head struct{ strings.Builder }

func (h *head) Write(p []byte) (int, error) {
	h.Builder.Write(p[:min(len(p), 4096-min(h.Len(), 4096))])
	return len(p), nil
}

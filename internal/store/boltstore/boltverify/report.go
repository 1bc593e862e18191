package boltverify

import (
	"fmt"
	"strings"
)

// Finding is one damage of a database file.
type Finding struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

func (f Finding) String() string { return f.Where + ": " + f.What }

// maxFindings is how many findings a Report lists: a file full of damage has one for each record.
const maxFindings = 1000

// Kinds counts the findings, the omitted ones too, that are about one thing alone.
type Kinds struct {
	Own  int // records of this service itself, which a start makes anew
	List int // the list of free pages, and pages that are neither in use nor free
	Meta int // the older meta page, which a start writes anew: nothing is lost by it
	// Minor are records that a service serves or does without: answers, their ages, and what is wrong with an account in
	// the tutorial's form.
	Minor int
}

// Report is what was found.
type Report struct {
	File string `json:"file"`
	// Intact: all of the file was read and nothing was found.
	Intact   bool      `json:"intact"`
	Findings []Finding `json:"findings"` // never nil
	Omitted  int       `json:"omitted"`  // how many more there were
	// Unsafe: a write could use a page that is in use, because its use or the list of free pages is in doubt.
	Unsafe bool `json:"-"`
	Kinds  `json:"-"`

	Accounts int `json:"accounts"` // the damaged ones among them
	// Damaged counts the accounts whose records are damaged, and DamagedIDs, never nil, has the first ones.
	Damaged    int      `json:"damaged"`
	DamagedIDs []string `json:"damaged_ids"`
	// Unchecked counts the accounts in the tutorial's form. It has no checksum: a letter changed in such a name is not
	// found.
	Unchecked   int    `json:"unchecked"`
	Size        int64  `json:"size"`      // in bytes
	PageSize    int64  `json:"page_size"` // in bytes
	Pages       int64  `json:"pages"`     // below the high-water mark
	FreePages   int64  `json:"free_pages"`
	Transaction uint64 `json:"transaction"`
}

func (r *Report) find(where, format string, args ...any) {
	if len(r.Findings) == maxFindings {
		r.Omitted++
		return
	}
	what := fmt.Sprintf(format, args...)
	r.Findings = append(r.Findings, Finding{where, fmt.Sprintf("%.500s", what)}) // errors of JSON quote the file
}

func (r *Report) findMinor(where, format string, args ...any) {
	r.Minor++
	r.find(where, format, args...)
}

func (r *Report) findOwn(where, format string, args ...any) {
	r.Own++
	r.find(where, format, args...)
}

func (r *Report) damaged(id []byte) {
	if r.Damaged++; len(r.DamagedIDs) < maxFindings {
		r.DamagedIDs = append(r.DamagedIDs, strings.ToValidUTF8(fmt.Sprintf("%.80s", id), "\ufffd"))
	}
}

// Others counts the damaged records that cost no account.
func (r *Report) Others() int { return r.Own + r.Minor }

// OnlyRecords reports whether something was found and all of it is damaged records, so that a service can serve all
// other accounts.
func (r *Report) OnlyRecords() bool {
	n := r.Damaged + r.Others()
	return n > 0 && len(r.Findings)+r.Omitted == n
}

// OnlyOlderMeta reports whether the older meta page is all that is damaged, so that a start mends the file.
func (r *Report) OnlyOlderMeta() bool { return r.Meta > 0 && r.Meta == len(r.Findings) }

func newReport(path string) Report {
	return Report{File: path, Findings: []Finding{}, DamagedIDs: []string{}}
}

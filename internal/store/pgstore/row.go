package pgstore

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"accountservice/internal/store"
)

// Only this file names the columns of accounts: in content, in the values and types of the statements, and in row,
// arguments and batch, always in the same order.
const (
	content = `name, email, labels, version, created_at, updated_at, revision`
	columns = `id, ` + content
	// textBytes is the size of a row's texts in bytes.
	textBytes = `(octet_length(name) + octet_length(email) + octet_length(labels))`

	contents  = `$2, $3, $4, $5, $6, $7, $8` // the values of content; $1 is the id
	insertSQL = `INSERT INTO accounts (` + columns + `) VALUES ($1, ` + contents + `) ON CONFLICT (id) DO NOTHING`
	// updateSQL also writes a row whose content stays the same: only a commit shows that the row is durable.
	updateSQL = `UPDATE accounts SET (` + content + `) = (` + contents + `) WHERE id = $1 AND revision = $9`

	unnested = `unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::timestamptz[],
  $8::text[]`
	insertAllSQL = `INSERT INTO accounts (` + columns + `) SELECT * FROM ` + unnested + `) ON CONFLICT (id) DO NOTHING`
)

var updateAllSQL = `UPDATE accounts AS a SET (` + content + `) = (n.` + strings.ReplaceAll(content, ", ", ", n.") + `)
FROM ` + unnested + `, $9::text[]) AS n (` + columns + `, was) WHERE a.id = n.id AND a.revision = n.was`

// stored is a row of accounts. One that another program made unreadable has its id and revision alone.
type stored struct {
	store.Account
	revision string // of the row; the next write compares it
	damage   error  // ErrDamaged, and why
}

// account is the row's, or nil for no row, and its damage.
func (s *stored) account() (*store.Account, error) {
	if s == nil {
		return nil, nil
	}
	return &s.Account, s.damage
}

// row is a row of accounts as it is read. In an outer join it can be empty.
type row struct {
	id                   []byte
	name, email, labels  *string
	version              *int64
	createdAt, updatedAt pgtype.Timestamptz // can be infinite
	revision             *string
}

func (r *row) into() []any {
	return []any{&r.id, &r.name, &r.email, &r.labels, &r.version, &r.createdAt, &r.updatedAt, &r.revision}
}

// stored returns what the row has, or nil if it is empty.
func (r *row) stored() *stored {
	if r.id == nil {
		return nil
	}
	acc := store.Account{ID: store.ID(r.id), Draft: store.Draft{Name: *r.name, Email: *r.email}, Version: *r.version,
		CreatedAt: r.createdAt.Time.UTC(), UpdatedAt: r.updatedAt.Time.UTC()}
	damage := ""
	if *r.labels != "{}" && json.Unmarshal([]byte(*r.labels), &acc.Labels) != nil {
		damage = "its labels are no JSON object of texts"
	}
	if r.createdAt.InfinityModifier != pgtype.Finite || r.updatedAt.InfinityModifier != pgtype.Finite {
		damage = "a time of it is infinite"
	}
	if damage != "" {
		return &stored{Account: store.Account{ID: acc.ID}, revision: *r.revision,
			damage: fmt.Errorf("%w: %q: %s", store.ErrDamaged, acc.ID, damage)}
	}
	return &stored{Account: acc, revision: *r.revision}
}

func arguments(acc store.Account) []any {
	return []any{[]byte(acc.ID), acc.Name, acc.Email, labels(acc.Labels), acc.Version, acc.CreatedAt, acc.UpdatedAt,
		string(acc.Revision())}
}

// batch is accounts by their columns.
type batch struct {
	ids                    [][]byte
	names, emails, labels  []string
	versions               []int64
	createdAts, updatedAts []time.Time
	revisions, was         []string
}

func (b *batch) add(acc store.Account, was string) {
	b.ids = append(b.ids, []byte(acc.ID))
	b.names, b.emails = append(b.names, acc.Name), append(b.emails, acc.Email)
	b.labels = append(b.labels, labels(acc.Labels))
	b.versions = append(b.versions, acc.Version)
	b.createdAts, b.updatedAts = append(b.createdAts, acc.CreatedAt), append(b.updatedAts, acc.UpdatedAt)
	b.revisions, b.was = append(b.revisions, string(acc.Revision())), append(b.was, was)
}

func (b *batch) arguments() []any {
	return []any{b.ids, b.names, b.emails, b.labels, b.versions, b.createdAts, b.updatedAts, b.revisions}
}

func labels(of map[string]string) string {
	if len(of) == 0 {
		return "{}"
	}
	text, err := json.Marshal(of)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(text)
}

package pgstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"accountservice/internal/store"
)

const (
	underKeySQL = `SELECT ` + columns + `, fingerprint, written_at, answer
FROM (SELECT 1) AS one LEFT JOIN accounts ON id = $1 LEFT JOIN idempotency ON key = $2`
	// rememberSQL wraps a write of an account: without that write it writes nothing, and a key that is there is an error
	// that undoes the write.
	rememberSQL = `WITH written AS (%s RETURNING id)
INSERT INTO idempotency (key, fingerprint, written_at, answer)
SELECT $%d::bytea, $%d::bytea, $%d::timestamptz, $%d::bytea FROM written`
	touchKeySQL = `UPDATE idempotency SET fingerprint = fingerprint WHERE key = $1 AND written_at = $2`
	forgetSQL   = `DELETE FROM idempotency WHERE key = $1 AND written_at = $2`
)

func keyOf(once *store.Idempotency) []byte {
	sum := sha256.Sum256([]byte(once.Key))
	return sum[:]
}

// getUnderKey returns the account and what is remembered under the key, nil for none, as one view.
func getUnderKey(ctx context.Context, c conn, id store.ID, once *store.Idempotency) (
	*stored, *store.IdempotencyRecord, error,
) {
	var fingerprint, answer []byte
	var at *time.Time
	list, err := read(ctx, c, []any{&fingerprint, &at, &answer}, underKeySQL, []byte(id), keyOf(once))
	if err != nil {
		return nil, nil, err
	}
	old := list[0] // nil if there is no account: the outer join has always one row
	if at == nil {
		return old, nil, nil
	}
	kept := &store.IdempotencyRecord{At: *at, Answer: answer}
	copy(kept.Fingerprint[:], fingerprint)
	return old, kept, nil
}

// remember runs the write of an account and keeps the answer to it, in one statement.
func remember(ctx context.Context, c conn, once *store.Idempotency, written store.Written, now time.Time,
	sql string, args []any) error {
	answer, err := once.AnswerTo(written)
	if err != nil {
		return err
	}
	if answer == nil {
		answer = []byte{}
	}
	n := len(args)
	return c.write(ctx, fmt.Sprintf(rememberSQL, sql, n+1, n+2, n+3, n+4),
		append(args, keyOf(once), once.Fingerprint[:], now, answer)...)
}

// touchKey commits a write of the record, so that the answer in it is durable before it is given again.
func touchKey(ctx context.Context, c conn, once *store.Idempotency, kept *store.IdempotencyRecord) error {
	return c.write(ctx, touchKeySQL, keyOf(once), kept.At)
}

// forget removes a record that has expired, so that the attempt begins again.
func forget(ctx context.Context, c conn, once *store.Idempotency, kept *store.IdempotencyRecord) error {
	if _, err := c.exec(ctx, forgetSQL, keyOf(once), kept.At); err != nil {
		return readFailure(err) // whether it was removed is seen next time
	}
	return errLost
}

//go:build linux

package ha

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"accountservice/tests/harness"
)

// The control of the rounds: a client that writes to PostgreSQL as many do. It repeats INSERT ... ON CONFLICT DO NOTHING
// after its own timeout and takes any success for durable. But the timeout cancels the wait for the standby, which makes
// the row visible on the primary alone, and the repetition finds it there and commits nothing. Rounds in which this
// client loses nothing would prove nothing of the service.

type control struct {
	pool   *pgxpool.Pool
	ledger *ledger
}

func newControl(t *testing.T, c *cluster) *control {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), c.url("postgres")+"&pool_max_conns=8&pool_ping_timeout=1s&connect_timeout=1")
	harness.Must(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), "CREATE TABLE naive (name TEXT PRIMARY KEY)")
	harness.Must(t, err)
	return &control{pool, newLedger()}
}

// write lets four such clients go until the returned function is called.
func (n *control) write(t *testing.T, run string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("%s-%d-%d", run, w, i)
				wait := 20 * time.Millisecond
				for n.insert(ctx, name) != nil && ctx.Err() == nil {
					pause(ctx, wait)
					wait = min(2*wait, time.Second) // new connections take most of the CPU of a slow machine
				}
				pause(ctx, 20*time.Millisecond)
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// insert gives the statement alone the client's timeout. If that covered connecting too, a slow machine would insert
// nothing.
func (n *control) insert(ctx context.Context, name string) error {
	c, err := n.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	_, err = c.Exec(ctx, "INSERT INTO naive VALUES ($1) ON CONFLICT DO NOTHING", name)
	if err == nil {
		n.ledger.note(name, acknowledged)
	}
	return err
}

// lost is how many acknowledged rows are not there.
func (n *control) lost(t *testing.T) int {
	t.Helper()
	there := map[string]int{}
	harness.Must(t, harness.Eventually(patience, func() error {
		rows, err := n.pool.Query(t.Context(), "SELECT name FROM naive")
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, name := range names {
			there[name] = 1
		}
		return err
	}))
	return len(n.ledger.judge(there).lost)
}

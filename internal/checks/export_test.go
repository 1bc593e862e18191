package checks

import "context"

// Tests in package checks_test probe and publish by hand with these.

// Jitter is jitter.
var Jitter = jitter

// ProbeCheck makes one run of the i-th check.
func (r *Runner) ProbeCheck(ctx context.Context, i int) { r.probers[i].probe(ctx) }

// ProbeAll makes one run of each check, and a snapshot.
func (r *Runner) ProbeAll(ctx context.Context) {
	for _, p := range r.probers {
		p.probe(ctx)
	}
	r.publish()
}

// Record takes err as the outcome of a run of the i-th check.
func (r *Runner) Record(i int, err error) { r.probers[i].record(outcomeOf(err, 0)) }

// Publish makes a snapshot.
func (r *Runner) Publish() { r.publish() }

// Expire makes results that are too old count as failures.
func (r *Runner) Expire() { r.expire() }

// SetDraining gives or withdraws the order to drain, and does not publish.
func (r *Runner) SetDraining(on bool) { r.draining.Store(on) }

// TakeDue is whether a publication was asked for. It withdraws that.
func (r *Runner) TakeDue() bool {
	select {
	case <-r.due:
		return true
	default:
		return false
	}
}

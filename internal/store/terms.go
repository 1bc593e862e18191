package store

import (
	"slices"
	"time"
)

// Remembered is what a store keeps under the key of a Once.
type Remembered struct {
	Fingerprint Fingerprint
	At          time.Time // when the write was made
	Answer      []byte
}

// Recall returns the answer to a request with this fingerprint, or
// ErrKeyReused; ErrNotFound if r is nil or too old by now.
func (r *Remembered) Recall(fingerprint Fingerprint, now time.Time) (answer []byte, err error) {
	switch {
	case r == nil || now.Sub(r.At) >= KeepAnswers:
		return nil, ErrNotFound
	case r.Fingerprint != fingerprint:
		return nil, ErrKeyReused
	case r.Answer == nil:
		return []byte{}, nil
	}
	return r.Answer, nil
}

// Allow returns nil if the account that is stored now, or nil, is as t wants
// it, else ErrExists or ErrVersion. t.Once is not its question.
func (t Terms) Allow(old *Account) error {
	switch {
	case t.Absent && old != nil:
		return ErrExists
	case old == nil && (t.Present || t.Revisions != nil):
		return ErrVersion
	case t.Revisions != nil && !slices.Contains(t.Revisions, old.Revision()):
		return ErrVersion
	}
	return nil
}

// DecideUpdate is what every store does first in an Update, as Decide in a Put.
func (t Terms) DecideUpdate(old *Account, was *Remembered, now time.Time) (replay []byte, err error) {
	if old != nil {
		return t.Decide(old, was, now)
	}
	replay, err = Terms{Once: t.Once}.Decide(nil, was, now)
	if replay == nil && err == nil {
		err = ErrNotFound
	}
	return replay, err
}

// Decide is what every store does first in a Put: it returns the answer to
// repeat, or nil if the write is to be made, or why it is not. old is the
// stored account, or nil, and was what is remembered under the key of t.Once,
// or nil.
func (t Terms) Decide(old *Account, was *Remembered, now time.Time) (replay []byte, err error) {
	if t.Once != nil {
		replay, err := was.Recall(t.Once.Fingerprint, now)
		if err != ErrNotFound {
			return replay, err
		}
	}
	return nil, t.Allow(old)
}

// Package auth owns who may do what: the file of tokens, its scopes and rates, and which caller a token belongs to. It
// knows the file alone, nothing of HTTP, configuration or stores. No token is kept, only its SHA-256.
package auth

import (
	"slices"
	"sync/atomic"
	"time"
)

// Scope is one right of a caller. No scope includes another.
type Scope string

const (
	Read   Scope = "read"   // accounts
	Write  Scope = "write"  // accounts
	Admin  Scope = "admin"  // what operators do: maintenance, profiles, metrics
	Health Scope = "health" // the reasons in health answers, and metrics
)

// Scopes returns all scopes.
func Scopes() []Scope { return []Scope{Read, Write, Admin, Health} }

// Caller is the owner of a token, or of several.
type Caller struct {
	Name   string
	scopes []Scope
	rate   int // requests a second, 0 for any
	limit  *limiter
}

// Has reports whether the caller has one of these scopes.
func (c *Caller) Has(scopes ...Scope) bool {
	return slices.ContainsFunc(scopes, func(scope Scope) bool { return slices.Contains(c.scopes, scope) })
}

// Allow counts one request, and reports whether the caller's rate allows it. If not, the next second does.
func (c *Caller) Allow() bool { return c.limit == nil || c.limit.allow() }

// limiter allows a number of requests a second, and a burst of as many after a second without any. It is the generic
// cell rate algorithm: each allowed request moves paid on by every, to at most a second after now.
type limiter struct {
	begun time.Time
	every time.Duration // for one request
	paid  atomic.Int64  // until when the allowed requests use up the rate, in ns after begun
}

func newLimiter(perSecond int) *limiter {
	return &limiter{begun: time.Now(), every: time.Second / time.Duration(perSecond)}
}

func (l *limiter) allow() bool {
	now := int64(time.Since(l.begun))
	for {
		paid := l.paid.Load()
		next := max(paid, now) + int64(l.every)
		if next-now > int64(time.Second) {
			return false
		}
		if l.paid.CompareAndSwap(paid, next) {
			return true
		}
	}
}

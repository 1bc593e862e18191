package pgstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"accountservice/internal/store"
)

// SQLSTATEs with a meaning of their own.
const (
	uniqueViolation     = "23505"
	readOnlyTransaction = "25006"
	completionUnknown   = "40003"
	noPrivilege         = "42501"
	undefinedTable      = "42P01"
	diskFull            = "53100"
	limitExceeded       = "54000"
	tooManyConnections  = "53300"
	statementCancelled  = "57014"
	adminShutdown       = "57P01"
	crashShutdown       = "57P02"
	cannotConnectNow    = "57P03"
	idleSessionTimeout  = "57P05"
)

// errLost is the error of an attempt whose write found that the account or the idempotency key has changed since it was
// read. The operation begins again.
var errLost = errors.New("the account was changed since it was read")

// transient is an error after which the whole operation can be tried again: nothing was changed. broken means that
// the other connections of the pool are likely to have the same fault.
type transient struct {
	err    error
	broken bool
}

func (t *transient) Error() string { return t.err.Error() }
func (t *transient) Unwrap() error { return t.err }

// refusal is why a server or a database cannot be used as it is. definite means that waiting does not help.
type refusal struct {
	why      string
	definite bool
}

func (r *refusal) Error() string { return r.why }

func codeOf(err error) string {
	if server, is := errors.AsType[*pgconn.PgError](err); is {
		return server.Code
	}
	return ""
}

func hasCode(err error, codes ...string) bool { return slices.Contains(codes, codeOf(err)) }

// isFull reports whether the server has no room on its disk or no transaction id. An index that takes no entry so long
// gives the same code, with its name.
func isFull(err error) bool {
	server, is := errors.AsType[*pgconn.PgError](err)
	return is && (server.Code == diskFull || server.Code == limitExceeded && server.ConstraintName == "")
}

// readFailure returns the error of a statement that changes nothing, or that is rolled back when it fails.
func readFailure(err error) error {
	server, is := errors.AsType[*pgconn.PgError](err)
	unavailable := fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	switch {
	case err == nil:
		return nil
	case !is: // the connection failed, or time was up
		return &transient{unavailable, true}
	case server.Code == uniqueViolation && server.TableName != "accounts": // an index of accounts is the operator's
		return errLost
	case server.Code == diskFull:
		return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	case endsConnection(server), server.Code == readOnlyTransaction, server.Code == cannotConnectNow:
		return &transient{unavailable, true}
	case server.Code == "40001", server.Code == "40P01", server.Code == tooManyConnections:
		return &transient{unavailable, false}
	}
	return unavailable
}

// commitFailure returns the error of a statement that commits. It is ErrOutcomeUnknown unless the server said that
// nothing was changed, or the statement was never sent.
func commitFailure(err error) error {
	server, is := errors.AsType[*pgconn.PgError](err)
	if err == nil || is && server.Code != completionUnknown && !endsConnection(server) || !is && pgconn.SafeToRetry(err) {
		return readFailure(err)
	}
	return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
}

// decidesNothing reports whether an attempt failed for a reason that does not concern what was asked.
func decidesNothing(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNoSpace) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// endsConnection reports whether the error ends the session: a commit that it interrupts may be done, because a server
// that stops ends the wait for a standby in the same way.
func endsConnection(e *pgconn.PgError) bool {
	return e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC" || strings.HasPrefix(e.Code, "08") ||
		slices.Contains([]string{adminShutdown, crashShutdown, idleSessionTimeout}, e.Code)
}

// refusalIn returns the refusal in the error of connecting, or nil. Of the refusals of several hosts it is one that
// waiting does not end: a standby that refuses must not hide what is wrong with the primary.
func refusalIn(err error) (found *refusal) {
	if refused, is := err.(*refusal); is {
		return refused
	}
	var inner []error
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		inner = []error{err.Unwrap()}
	case interface{ Unwrap() []error }:
		inner = err.Unwrap()
	}
	for _, err := range inner {
		if refused := refusalIn(err); refused != nil && (found == nil || refused.definite) {
			found = refused
		}
	}
	return found
}

// comesBack reports whether an error of connecting may end by itself.
func comesBack(err error) bool {
	if refused := refusalIn(err); refused != nil {
		return !refused.definite
	}
	code := codeOf(err)
	return code == "" && !refusesTLS(err) || strings.HasPrefix(code, "08") ||
		slices.Contains([]string{cannotConnectNow, tooManyConnections, adminShutdown, crashShutdown}, code)
}

// refusesTLS reports whether server and client do not agree on TLS. pgx has no type for a server without it.
func refusesTLS(err error) bool {
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	return unverified || err != nil && strings.Contains(err.Error(), noTLS)
}

const noTLS = "server refused TLS connection"

// words says for an operator why the database cannot be used. It repeats nothing of the server's text.
func words(err error) string {
	if refused := refusalIn(err); refused != nil {
		return refused.why
	}
	code := codeOf(err)
	if why, known := meanings[code]; known {
		return why + " (" + code + ")"
	}
	switch {
	case code != "":
		return "the server answers error " + code
	case refusesTLS(err) && strings.Contains(err.Error(), noTLS):
		return "the server offers no TLS: turn it on there, or set sslmode=disable in store.postgres.url if the network " +
			"is trusted"
	case refusesTLS(err):
		return "the server's certificate is not valid for its name: set sslrootcert in store.postgres.url if it is of " +
			"an own CA"
	case errors.Is(err, context.DeadlineExceeded):
		return "the server does not answer in time"
	}
	return "the server cannot be reached: " + reason(err)
}

// reason is the innermost text of a network error behind its address, of each host: without the user and the database,
// which pgx puts before it.
func reason(err error) string {
	switch outer := err.(type) {
	case *net.OpError:
		if outer.Addr != nil {
			return outer.Addr.String() + ": " + reason(outer.Err)
		}
		return reason(outer.Err)
	case interface{ Unwrap() []error }:
		var each []string
		for _, inner := range outer.Unwrap() {
			each = append(each, reason(inner))
		}
		return strings.Join(each, "; ")
	}
	if inner := errors.Unwrap(err); inner != nil {
		return reason(inner)
	}
	return err.Error()
}

var meanings = map[string]string{
	"08P01":            "a pooler refuses the connection, perhaps as it has too many: see its log",
	"28P01":            "the server refuses the user name or the password",
	"28000":            "the server refuses the user name, the database or this host",
	"3D000":            "there is no such database",
	noPrivilege:        "the user lacks a right: see docs/postgres.md",
	undefinedTable:     "a table is missing: run accountservice migrate up",
	diskFull:           "the server's disk is full",
	limitExceeded:      "the server has no transaction ids left: vacuum; or an index takes no entry so long: see its log",
	tooManyConnections: "the server has too many connections",
	statementCancelled: "a statement took longer than store.postgres.statement_timeout",
	adminShutdown:      "the server is stopping or ended the connection",
	crashShutdown:      "the server is restarting after a crash",
	cannotConnectNow:   "the server is starting, stopping or recovering",
	idleSessionTimeout: "the server ended the idle connection",
}

package dependency

import (
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// newPostgres logs in and asks SELECT 1: postgres://user:password@host/database. sslmode is libpq's, and like there
// TLS is preferred, but not verified, where the URL says nothing; options of TLS mean verify-full. Nothing is read
// from PG* variables or ~/.pgpass.
func newPostgres(t *target) question {
	settings, mode := t.tlsOptions(), t.word("sslmode", "prefer", "disable", "require", "verify-ca", "verify-full")
	if mode == "prefer" && settings.set {
		mode = "verify-full"
	}
	// libpq's require, too, is for a server without a CA
	settings.config.InsecureSkipVerify = mode != "verify-full"
	if settings.anyName = mode == "verify-ca"; settings.anyName && settings.config.RootCAs == nil {
		t.fault("has sslmode=verify-ca without ca_file: any certificate that the system trusts would do")
	}
	if t.url.User.Username() == "" {
		t.fault("has no user: write it as postgres://user:password@host/database")
	}
	role := t.word("role", "any", "primary", "standby")
	config := t.pgconn()
	if config != nil && mode != "disable" && mode != "verify-full" {
		config.RequireAuth = "none,scram-sha-256" // whoever answers must not get the password
	}
	login := func(_ context.Context, at *phase, s *session) (link, error) {
		if mode != "disable" {
			if err := encryptPostgres(s, at, settings, mode == "prefer"); err != nil {
				return nil, err
			}
		}
		*at = authentication
		conn, err := loginPostgres(s, config.Copy())
		return postgres{conn, role}, err
	}
	return t.keep(login)
}

// pgconn is the configuration of pgconn: everything from the URL, nothing from the environment. The connection and
// TLS are there before pgconn is called.
func (t *target) pgconn() *pgconn.Config {
	settings, err := pgconn.ParseConfig("host=localhost user=nobody sslmode=disable passfile=/dev/null")
	if err != nil {
		t.fault("can't be used: a PG variable in the environment is wrong")
		return nil
	}
	settings.User, settings.Password = t.login()
	settings.Database = strings.TrimPrefix(t.url.Path, "/")
	settings.ConnectTimeout = 0 // the context has it
	settings.TLSConfig, settings.Fallbacks = nil, nil
	settings.ValidateConnect, settings.AfterConnect = nil, nil
	settings.ChannelBinding, settings.RequireAuth, settings.SSLCertMode = "disable", "", "" // TLS is ours
	settings.RuntimeParams = map[string]string{"application_name": "accountservice-health"}
	settings.MaxProtocolMessageBodyLen = maxAnswer
	settings.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	return settings
}

// loginPostgres gives pgconn the session, and no second one: that would be to cancel a query, which ends with ours.
// The session's deadlines end it, not a context.
func loginPostgres(s *session, config *pgconn.Config) (*pgconn.PgConn, error) {
	given := false
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		if given {
			return nil, errors.New("no second connection")
		}
		given = true
		return s, nil
	}
	conn, err := pgconn.ConnectConfig(context.Background(), config)
	return conn, postgresFailure(err)
}

// sslRequest asks a server whether it speaks TLS; it answers S or N.
const sslRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"

// encryptPostgres begins TLS. pgconn would open a second connection to go on without.
func encryptPostgres(s *session, at *phase, settings *tlsSettings, orPlain bool) error {
	*at = greeting
	if _, err := io.WriteString(s, sslRequest); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(s.Conn, answer[:]); err != nil { // not buffered: the next bytes are TLS
		return err
	}
	switch {
	case answer[0] == 'N' && orPlain:
		return nil
	case answer[0] == 'N':
		return errNoTLS
	case answer[0] != 'S':
		return errNotSpoken
	}
	return s.encrypt(at, settings)
}

type postgres struct {
	conn *pgconn.PgConn
	role string // any, primary or standby
}

func (p postgres) ask(_ context.Context, at *phase) error {
	*at = query
	text := "SELECT 1"
	if p.role != "any" {
		text = "SELECT CASE WHEN pg_is_in_recovery() THEN 2 " +
			"WHEN current_setting('transaction_read_only') = 'on' THEN 3 ELSE 1 END"
	}
	results, err := p.conn.Exec(context.Background(), text).ReadAll()
	switch {
	case err != nil:
		return postgresFailure(err)
	case len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 1:
		return errNotSpoken
	}
	switch answer := string(results[0].Rows[0][0]); {
	case answer == "1" && p.role != "standby", answer == "2" && p.role == "standby":
		return nil
	case answer == "2":
		return verdictf("the server is a standby")
	case answer == "3" && p.role == "primary":
		return verdictf("the server is read-only (default_transaction_read_only)")
	case answer == "1" || answer == "3":
		return verdictf("the server is no standby")
	}
	return errNotSpoken
}

func (p postgres) goodbye() { p.conn.Close(context.Background()) }

var sqlState = regexp.MustCompile(`^[0-9A-Z]{5}$`)

// postgresFailure is what a SQLSTATE means; the message is the server's.
func postgresFailure(err error) error {
	var server *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &server):
	case strings.Contains(err.Error(), "require_auth check failed"):
		return verdictf("the server wants the password in clear or as MD5, which is for sslmode=verify-full or disable")
	case strings.HasSuffix(err.Error(), "conn closed"): // pgconn's word after a FATAL message it did not give on
		return &verdict{text: "the server ended the connection", bye: true}
	default:
		return err
	}
	if !sqlState.MatchString(server.Code) {
		return errNotSpoken
	}
	var byes []string
	if server.Severity == "FATAL" || server.SeverityUnlocalized == "FATAL" { // as PgBouncer of an idle one (08P01)
		byes = []string{server.Code}
	}
	const refused, ended = "the server refuses the user name, the password or this host", "the server ended the connection"
	return coded(server.Code, map[string]string{
		"28P01": refused, "28000": refused, "57P01": ended, "57P02": ended, "57P05": ended,
		"3D000": "there is no such database",
		"53300": "the server has too many connections",
		"57P03": "the server is starting, stopping or recovering",
	}, byes...)
}

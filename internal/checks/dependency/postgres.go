package dependency

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// newPostgres logs in and asks SELECT 1: postgres://user:password@host/database.
// sslmode is libpq's, and like there TLS is preferred, but not verified, where
// nothing is said; options of TLS mean verify-full. Nothing is read from PG*
// variables or ~/.pgpass.
func newPostgres(t *target) (question, error) {
	secure, badTLS := t.tls()
	mode, badMode := t.options.word("sslmode", "prefer", "disable", "require", "verify-full")
	if mode == "prefer" && secure.asked {
		mode = "verify-full"
	}
	// it verifies only then; libpq's require, too, is for a server without a CA
	secure.config.InsecureSkipVerify = mode != "verify-full"
	var badUser error
	if t.url.User.Username() == "" {
		badUser = errors.New("has no user: write it as postgres://user:password@host/database")
	}
	settings, badSettings := t.postgres()
	open := func(ctx context.Context, at *phase) (link, error) {
		conn, err := t.open(ctx, at, "5432", nil)
		if err != nil {
			return nil, err
		}
		p := &postgres{session: newSession(conn), secure: secure}
		if err := p.login(ctx, at, mode, settings.Copy()); err != nil {
			p.Close() // pgconn goes on with it in the background until then
			return nil, err
		}
		return p, nil
	}
	return keep(open), errors.Join(t.needHost(), badUser, badTLS, badMode, badSettings)
}

// postgres is what pgconn is to use: everything from the URL, nothing from the
// environment. Host and TLS are done before it is asked.
func (t *target) postgres() (*pgconn.Config, error) {
	settings, err := pgconn.ParseConfig("host=localhost user=nobody sslmode=disable passfile=/dev/null")
	if err != nil {
		return nil, errors.New("can't be used: a PG variable in the environment is wrong")
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
	return settings, nil
}

// postgres is a connection to a PostgreSQL server.
type postgres struct {
	*session
	secure *secure
	conn   *pgconn.PgConn
}

func (p *postgres) login(ctx context.Context, at *phase, mode string, settings *pgconn.Config) error {
	if mode != "disable" {
		if err := p.encrypt(ctx, at, mode == "prefer"); err != nil {
			return err
		}
	}
	at.set(authentication)
	given := false
	settings.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		if given {
			return nil, errors.New("no second connection") // to cancel a query, which ends with ours
		}
		given = true
		return p.session, nil
	}
	return p.during(ctx, func() (err error) {
		p.conn, err = pgconn.ConnectConfig(context.Background(), settings) // during has the deadline
		return postgresFailure(err)
	})
}

// sslRequest asks a server whether it speaks TLS; it answers S or N.
const sslRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"

// encrypt turns the connection into one with TLS. pgconn would open a second
// one to go on without.
func (p *postgres) encrypt(ctx context.Context, at *phase, orPlain bool) error {
	at.set(greeting)
	var answer [1]byte
	err := p.during(ctx, func() error {
		if _, err := io.WriteString(p, sslRequest); err != nil {
			return err
		}
		_, err := io.ReadFull(p.Conn, answer[:])
		return err
	})
	switch {
	case err != nil:
		return err
	case answer[0] == 'N' && orPlain:
		return nil
	case answer[0] == 'N':
		return verdictf("the server offers no TLS")
	case answer[0] != 'S':
		return errNotSpoken
	}
	conn, err := p.secure.handshake(ctx, at, p.Conn)
	if err != nil {
		return err
	}
	p.session = newSession(conn)
	return nil
}

func (p *postgres) ask(ctx context.Context, at *phase) error {
	at.set(query)
	err := p.during(ctx, func() error {
		results, err := p.conn.Exec(context.Background(), "SELECT 1").ReadAll()
		switch {
		case err != nil:
			return postgresFailure(err)
		case len(results) != 1 || len(results[0].Rows) != 1 || string(results[0].Rows[0][0]) != "1":
			return errNotSpoken
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.secure.look(p.Conn)
}

func (p *postgres) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	p.conn.Close(ctx)
	p.Close()
}

// postgresFailure is what a SQLSTATE means; the message is the server's.
func postgresFailure(err error) error {
	var server *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &server):
	case strings.HasSuffix(err.Error(), "conn closed"): // pgconn's word after a FATAL message it did not give on
		return &verdict{text: "the server ended the connection", bye: true}
	default:
		return err
	}
	code := server.Code
	switch {
	case code == "28P01" || code == "28000":
		return verdictf("the server refuses the user name, the password or this host (%s)", code)
	case code == "3D000":
		return verdictf("there is no such database (3D000)")
	case code == "53300":
		return verdictf("the server has too many connections (53300)")
	case code == "57P03":
		return verdictf("the server is starting, stopping or recovering (57P03)")
	case code == "57P01" || code == "57P02" || code == "57P05":
		return &verdict{text: "the server ended the connection (" + code + ")", bye: true}
	case len(code) == 5 && isAlphanumeric(code):
		return verdictf("the server answers error %s", code)
	}
	return errNotSpoken
}

func isAlphanumeric(code string) bool {
	_, err := strconv.ParseUint(code, 36, 64)
	return err == nil && strings.ToUpper(code) == code
}

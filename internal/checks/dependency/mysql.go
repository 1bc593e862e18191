package dependency

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// newMySQL logs in and asks SELECT 1: mysql://user:password@host/database. TLS is spoken if an option of TLS is set.
// Without it the password is sent only as the answer to a challenge. role=primary fails a server that is read-only.
func newMySQL(t *target) question {
	settings, inClear, role := t.tlsOptions(), t.plaintextLogin(), t.word("role", "any", "primary")
	if t.url.User.Username() == "" {
		t.fault("has no user: write it as mysql://user:password@host/database")
	}
	if strings.Contains(strings.TrimPrefix(t.url.Path, "/"), "/") {
		t.fault("must have one database as its path")
	}
	return t.keep(func(ctx context.Context, at *phase, s *session) (link, error) {
		*at = greeting
		head, err := s.r.Peek(5)
		if err != nil {
			return nil, err
		}
		if head[1] > 1 || head[2] > 0 || head[4] != 10 && head[4] != 0xff { // 512 bytes or more, or another version
			return nil, errNotSpoken
		}
		m := &mySQL{session: s, at: at, guarded: !inClear && !settings.set && t.socket == "", loggingIn: true, primary: role == "primary"}
		connector, err := mysql.NewConnector(t.mySQLConfig(m, settings))
		if err != nil {
			return nil, verdictf("its URL can't be used")
		}
		m.conn, err = connector.Connect(context.Background()) // the session's deadlines end it
		err = m.failure(err)
		m.loggingIn = false
		s.wantsCertificate.Store(false)
		return m, err
	})
}

// mySQLConfig makes the driver use the session, over which it speaks TLS by itself if settings are set.
func (t *target) mySQLConfig(m *mySQL, settings *tlsSettings) *mysql.Config {
	config := mysql.NewConfig()
	config.User, config.Passwd = t.login()
	config.DBName = strings.TrimPrefix(t.url.Path, "/")
	config.Net, config.Addr, config.Logger = "given", "given", &mysql.NopLogger{}
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return m, nil }
	if settings.set {
		m.tls = settings
		config.TLS = m.clientConfig(settings)
		config.AllowCleartextPasswords = true // over verified TLS
	}
	return config
}

// mySQL is the connection that the driver uses.
type mySQL struct {
	*session
	conn               driver.Conn
	at                 *phase
	guarded, loggingIn bool
	primary            bool
}

// Write implements net.Conn. If the password is guarded, it does not send the packet of one byte that asks whoever
// answers for a key, since the driver would encrypt the password with that.
func (m *mySQL) Write(p []byte) (int, error) {
	const handshakeRecord = 0x16
	switch {
	case !m.loggingIn:
	case m.tls != nil && p[0] == handshakeRecord:
		*m.at = tlsHandshake
	default:
		*m.at = authentication
	}
	if m.loggingIn && m.guarded && len(p) == 5 {
		return 0, m.note(verdictf("the server wants the password under TLS (caching_sha2_password): " +
			"set an option of TLS, or plaintext_login=allow"))
	}
	return m.session.Write(p)
}

// Read implements net.Conn. What comes before the login is done is no answer yet.
func (m *mySQL) Read(p []byte) (int, error) {
	wants := m.wantsCertificate.Load()
	n, err := m.r.Read(p)
	if m.loggingIn && wants {
		m.wantsCertificate.Store(true)
	}
	return n, err
}

func (m *mySQL) ask(_ context.Context, at *phase) error {
	*at = query
	text := "SELECT 1"
	if m.primary {
		text = "SELECT @@read_only"
	}
	value, err := m.query(text)
	switch {
	case err != nil:
		return m.failure(err)
	case !m.primary && value == "1", m.primary && (value == "0" || value == "OFF"):
		return nil
	case m.primary:
		return verdictf("the server is read-only, as a replica is")
	}
	return errNotSpoken
}

// query returns the first value of the first row.
func (m *mySQL) query(text string) (string, error) {
	rows, err := m.conn.(driver.QueryerContext).QueryContext(context.Background(), text, nil)
	if err != nil {
		return "", err
	}
	values := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(values); err != nil || len(values) != 1 {
		return "", errNotSpoken
	}
	if raw, is := values[0].([]byte); is {
		values[0] = string(raw)
	}
	return fmt.Sprint(values[0]), rows.Close()
}

func (m *mySQL) goodbye() { m.conn.Close() }

// failure returns why the driver gave err: of the errors of the connection it does not keep all.
func (m *mySQL) failure(err error) error {
	var server *mysql.MySQLError
	cause := m.failed.Load()
	switch {
	case err == nil:
		return nil
	case m.wantsCertificate.Load() && (isAlert(err) || wasCut(err)):
		return m.refusesCertificate()
	case errors.As(err, &server):
		return mySQLFailure(server.Number)
	case cause != nil:
		return *cause
	case errors.Is(err, mysql.ErrNoTLS):
		return errNoTLS
	case errors.Is(err, mysql.ErrCleartextPassword), errors.Is(err, mysql.ErrOldPassword):
		return verdictf("the server wants the password in clear: set an option of TLS")
	case errors.Is(err, mysql.ErrUnknownPlugin):
		return verdictf("the server wants a login for this user that this check does not have, such as PAM or Kerberos")
	case errors.Is(err, driver.ErrBadConn):
		return io.EOF
	}
	return err
}

// mySQLFailure is what an error number means; its text is the server's.
func mySQLFailure(number uint16) error {
	return coded(number, map[uint16]string{
		1040: "the server has too many connections",
		1044: "this user may not use the database",
		1045: "the server refuses the user name, the password or this host",
		1049: "there is no such database",
		1129: "the server has blocked this host after too many broken connections",
		1130: "the server does not let in this host",
		1203: "this user has too many connections",
		1226: "this user has used up a limit",
		1698: "the server refuses the user name, the password or this host",
		1820: "the password of this user has expired",
		4151: "this user is locked",
		1053: "the server is stopping",
		1927: "the server ended the connection",
		4031: "the server ended the idle connection",
	}, 1053, 1927, 4031)
}

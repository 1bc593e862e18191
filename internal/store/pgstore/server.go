package pgstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Server is where a database is and who logs in. Its String names the hosts and the database, and no secret.
type Server struct {
	hosts                    []host
	user, password, database string
	mode                     string // sslmode
	rootsFile                string
	roots                    *x509.CertPool // of the file at the start; nil for those of the system
}

type host struct {
	name string
	port uint16
}

// ParseServer reads postgres://user:password@host:port,host:port/database. Options are sslmode (verify-full, which is
// the default; require, which encrypts and verifies nothing; disable), sslrootcert, a file of PEM certificates, and
// target_session_attrs, which is always read-write. Its errors go on after "the value" and repeat nothing of text.
// Nothing is taken from PG* variables, service files or ~/.pgpass.
func ParseServer(text string) (Server, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql":
		return Server{}, errors.New("must be postgres://user:password@host:port/database")
	case u.User.Username() == "":
		return Server{}, errors.New("has no user: write it as postgres://user:password@host/database")
	case len(u.Path) < 2 || strings.Contains(u.Path[1:], "/"):
		return Server{}, errors.New("has no database: write it as postgres://user:password@host/database")
	}
	s := Server{user: u.User.Username(), database: u.Path[1:], mode: "verify-full"}
	s.password, _ = u.User.Password()
	for at := range strings.SplitSeq(u.Host, ",") {
		h, err := parseHost(at)
		if err != nil {
			return Server{}, err
		}
		s.hosts = append(s.hosts, h)
	}
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Server{}, errors.New("has a broken option: write %25 for the sign % itself")
	}
	return s, s.take(options)
}

func parseHost(at string) (h host, err error) {
	if !strings.Contains(strings.TrimLeft(at, "["), ":") || strings.HasSuffix(at, "]") {
		at += ":5432"
	}
	name, port, err := net.SplitHostPort(at)
	n, notNumber := strconv.ParseUint(port, 10, 16)
	if err != nil || notNumber != nil || name == "" || n == 0 {
		return host{}, errors.New("must name its hosts as host:port,host:port")
	}
	return host{name, uint16(n)}, nil
}

func (s *Server) take(options url.Values) error {
	for name, values := range options {
		value := values[0]
		switch {
		case len(values) > 1:
			return fmt.Errorf("sets option %s twice: keep one", name)
		case name == "sslmode" && (value == "verify-full" || value == "require" || value == "disable"):
			s.mode = value
		case name == "sslmode":
			return errors.New("must have verify-full, require or disable as its option sslmode")
		case name == "sslrootcert":
			if s.rootsFile, s.roots = value, readRoots(value); s.roots == nil {
				return errors.New("names a file in option sslrootcert that has no PEM certificate or can't be read")
			}
		case name == "target_session_attrs" && value == "read-write":
		case name == "target_session_attrs":
			return errors.New("must have read-write as its option target_session_attrs: a standby can be stale")
		default:
			return errors.New("has an unknown option: it takes sslmode, sslrootcert and target_session_attrs")
		}
	}
	if s.roots != nil && s.mode != "verify-full" { // libpq would verify with sslmode=require, too
		return fmt.Errorf("has sslrootcert, and with sslmode=%s no certificate is verified: use sslmode=verify-full", s.mode)
	}
	return nil
}

func (s Server) String() string {
	var hosts []string
	for _, h := range s.hosts {
		hosts = append(hosts, net.JoinHostPort(h.name, strconv.Itoa(int(h.port))))
	}
	return strings.Join(hosts, ",") + "/" + s.database
}

// readRoots returns the certificates of a file, nil if there is none.
func readRoots(file string) *x509.CertPool {
	pem, err := os.ReadFile(file)
	if roots := x509.NewCertPool(); err == nil && roots.AppendCertsFromPEM(pem) {
		return roots
	}
	return nil
}

// tls returns the configuration of TLS for one host, or nil for no TLS. It reads the file of certificates again, so that
// renewed ones need no restart.
func (s Server) tls(name string) *tls.Config {
	if s.mode == "disable" {
		return nil
	}
	roots := cmp.Or(readRoots(s.rootsFile), s.roots)
	return &tls.Config{ServerName: name, RootCAs: roots, InsecureSkipVerify: s.mode == "require"}
}

func (s Server) connectTo(c *pgconn.Config) {
	c.Fallbacks = nil
	for _, h := range s.hosts {
		c.Fallbacks = append(c.Fallbacks, &pgconn.FallbackConfig{Host: h.name, Port: h.port, TLSConfig: s.tls(h.name)})
	}
	first := c.Fallbacks[0]
	c.Host, c.Port, c.TLSConfig, c.Fallbacks = first.Host, first.Port, first.TLSConfig, c.Fallbacks[1:]
}

// config returns the configuration of a pool. pgx reads PG* variables whenever it parses, so it parses a constant here,
// and everything that it could have read is replaced.
func (s Server) config(connectTimeout time.Duration) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(`host=localhost port=5432 user=nobody sslmode=disable passfile=/dev/null
  target_session_attrs=any connect_timeout=0 min_protocol_version=3.0 max_protocol_version=3.0 sslcertmode=allow
  sslrootcert='' sslcert='' sslkey='' channel_binding=prefer require_auth=''`)
	if err != nil {
		return nil, errors.New("a PG variable of the environment cannot be read: unset PGSERVICE")
	}
	c := &config.ConnConfig.Config
	c.User, c.Password, c.Database = s.user, s.password, s.database
	s.connectTo(c)
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		s.connectTo(&c.Config)
		return nil
	}
	c.ConnectTimeout = connectTimeout / time.Duration(len(s.hosts)) // of each: a silent one leaves time for the others
	c.DialFunc, c.BuildContextWatcherHandler = dial, newWatcher
	c.SSLNegotiation, c.KerberosSrvName, c.KerberosSpn = "", "", ""
	// a role or a database can have settings by which texts would be stored as other ones, and times not be read
	c.RuntimeParams = map[string]string{"application_name": "accountservice", "client_encoding": "UTF8", "datestyle": "ISO"}
	c.MaxProtocolMessageBodyLen = maxMessage
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	return config, nil
}

// maxMessage bounds one message of the server, which is at most one row, so that another program that answers on the port
// cannot make the service use up its memory.
const maxMessage = 16 << 20

package pgstore

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

func TestServerIsReadFromItsURL(t *testing.T) {
	s, err := ParseServer("postgres://me:p%40ss@db1:6000,db2:5432/accounts?target_session_attrs=read-write")
	harness.Must(t, err)
	if got := s.String(); got != "db1:6000,db2:5432/accounts" {
		t.Errorf("String = %s", got)
	}
	for _, variable := range []string{"PGHOST=other", "PGPORT=1", "PGUSER=other", "PGPASSWORD=other", "PGDATABASE=other", "PGSSLMODE=disable",
		"PGAPPNAME=other", "PGOPTIONS=-c geqo=off", "PGTARGETSESSIONATTRS=standby", "PGCONNECT_TIMEOUT=77", "PGSSLROOTCERT=/nowhere", "PGSSLCERT=/nowhere",
		"PGSSLKEY=/nowhere", "PGCHANNELBINDING=require", "PGREQUIREAUTH=none", "PGSSLNEGOTIATION=direct", "PGMINPROTOCOLVERSION=x"} {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	config, err := s.config(time.Second)
	harness.Must(t, err)
	c := config.ConnConfig
	if c.Host != "db1" || c.Port != 6000 || c.User != "me" || c.Password != "p@ss" || c.Database != "accounts" || c.ConnectTimeout != time.Second/2 {
		t.Errorf("got %s:%d, %s, database %s, timeout %s", c.Host, c.Port, c.User, c.Database, c.ConnectTimeout)
	}
	if len(c.Fallbacks) != 1 || c.Fallbacks[0].Host != "db2" || c.Fallbacks[0].Port != 5432 || c.Fallbacks[0].TLSConfig.ServerName != "db2" {
		t.Errorf("fallbacks %+v", c.Fallbacks)
	}
	if c.TLSConfig == nil || c.TLSConfig.InsecureSkipVerify || c.TLSConfig.ServerName != "db1" {
		t.Errorf("TLS %+v: want it verified", c.TLSConfig)
	}
	want := map[string]string{"application_name": "accountservice", "client_encoding": "UTF8", "datestyle": "ISO"}
	if !maps.Equal(c.RuntimeParams, want) {
		t.Errorf("parameters %v", c.RuntimeParams)
	}
	t.Setenv("PGSERVICE", "other")
	if _, err := s.config(time.Second); err == nil || !strings.Contains(err.Error(), "PGSERVICE") {
		t.Errorf("config = %v, want the name of the variable", err)
	}
}

func TestBadURLOfAServerIsExplained(t *testing.T) {
	empty := harness.File(t, "empty.pem", "")
	roots := harness.NewAuthority(t).File
	for url, want := range map[string]string{
		"mysql://me:secret@db/accounts":                                         "must be postgres://",
		"postgres://db/accounts":                                                "no user",
		"postgres://me:secret@db":                                               "no database",
		"postgres://me:secret@db/":                                              "no database",
		"postgres://me:secret@db:0/accounts":                                    "host:port",
		"postgres://me:secret@a,,b/accounts":                                    "host:port",
		"postgres://me:secret@db/accounts?sslmode=prefer":                       "sslmode",
		"postgres://me:secret@db/accounts?sslmode=x&sslmode=y":                  "twice",
		"postgres://me:secret@db/accounts?target_session_attrs=any":             "target_session_attrs",
		"postgres://me:secret@db/accounts?pool_max_conns=3":                     "unknown option",
		"postgres://me:secret@db/accounts?sslrootcert=/none":                    "sslrootcert",
		"postgres://me:secret@db/accounts?sslrootcert=" + empty:                 "sslrootcert",
		"postgres://me:secret@db/accounts?sslmode=require&sslrootcert=" + roots: "no certificate is verified",
		"postgres://me:secret@db/accounts?sslmode=disable&sslrootcert=" + roots: "no certificate is verified",
		"postgres://me:secret@db/accounts?options=-c%20statement=%zz":           "option",
	} {
		_, err := ParseServer(url)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
}

func TestSynchronousReplicationIsRecognized(t *testing.T) {
	for names, want := range map[string]string{
		"a": "", "*": "", "a, b": "", `"a b"`: "", "FIRST 1 (a, b)": "", "first 2 (a,b,c)": "", "ANY 1 (a, b)": "", "ANY 2(*)": "",
		"2 (a, b)": "", "ANY 1 (\"n1\",\n \"n2\")": "", "FIRST 1 (a, " + patroniPlaceholder + ")": "",
		"": "is empty", "  ": "is empty", "ANY 1 ()": "is empty",
		patroniPlaceholder: "Patroni's strict", "ANY 1 (" + patroniPlaceholder + ")": "Patroni's strict", `"` + patroniPlaceholder + `"`: "Patroni's strict",
	} {
		if got := syncRefusal("on", names); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", names, got, want)
		}
	}
	for commit, refused := range map[string]bool{"on": false, "remote_apply": false, "remote_write": true, "local": true, "off": true, "": true} {
		if got := syncRefusal(commit, "*"); (got != "") != refused {
			t.Errorf("%q: %q", commit, got)
		}
	}
}

func TestStandbyDoesNotHideWhatIsWrongWithThePrimary(t *testing.T) {
	sync := demands{requireSync: true}
	standby := sync.refuse(facts{standby: true, encoding: "UTF8"})
	primary := sync.refuse(facts{encoding: "UTF8", schema: schemaVersion, commit: "on"})
	waiting := sync.refuse(facts{encoding: "UTF8", schema: schemaVersion, commit: "on", standbys: patroniPlaceholder})
	for _, c := range []struct {
		err      error
		want     string
		comeBack bool
	}{
		{errors.Join(fmt.Errorf("host a: %w", standby), primary), "synchronous_standby_names is empty", false},
		{errors.Join(primary, standby), "synchronous_standby_names is empty", false},
		{errors.Join(standby, io.EOF), "connected to a standby", true},
		{errors.Join(io.EOF, waiting), "strict synchronous mode has no standby", true},
	} {
		if got := words(c.err); !strings.Contains(got, c.want) || comesBack(c.err) != c.comeBack {
			t.Errorf("%v: %q, comes back: %v", c.err, got, comesBack(c.err))
		}
	}
}

package dependency

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// newRedis logs in, picks the database of the path if there is one, and asks PING, in RESP2:
// redis://user:password@host:6379/0. A server that loads its data, or lost its primary, does not answer PONG.
func newRedis(t *target) question {
	database := strings.TrimPrefix(t.url.Path, "/")
	if _, err := strconv.ParseUint(database, 10, 16); database != "" && err != nil {
		t.fault("must have the number of a database as its path, or none")
	}
	t.guardPassword()
	user, password := t.login()
	if _, set := t.url.User.Password(); user != "" && !set {
		t.fault("has a user without a password: a password alone is written as :password@, a user who has none as user:@")
	}
	role := t.word("role", "any", "primary")
	login := func(_ context.Context, at *phase, s *session) (link, error) {
		r := redis{s, role == "primary"}
		return r, r.login(at, user, password, database)
	}
	return t.keep(login)
}

type redis struct {
	*session
	primary bool // it must be
}

func (r redis) login(at *phase, user, password, database string) error {
	*at = authentication
	auth := []string{"AUTH", user, password}
	if user == "" {
		auth = []string{"AUTH", password}
	}
	if user+password != "" {
		if err := r.command(at, "OK", auth...); err != nil {
			return err
		}
	}
	if database == "" {
		return nil
	}
	return r.command(at, "OK", "SELECT", database)
}

func (r redis) ask(_ context.Context, at *phase) error {
	*at = ping
	if err := r.command(at, "PONG", "PING"); err != nil || !r.primary {
		return err
	}
	*at = query
	// a script that may write, and does not: a server that takes no writes refuses it, as do a replica, a cluster without
	// all its slots, and one out of memory
	const script = "#!lua\nreturn redis.status_reply('OK')"
	err := r.command(at, "OK", "EVAL", script, "1", "accountservice-health")
	if err == errMoved {
		err = r.command(at, "OK", "EVAL", script, "0")
	}
	return err
}

// errMoved is for a key that another node of the cluster has. So the cluster has all its slots, and only a script
// without keys asks this node.
var errMoved = verdictf("the key of role=primary is on another node of the cluster (MOVED)")

// command sends one and wants this simple string as its answer.
func (r redis) command(at *phase, want string, words ...string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(r, b.String()); err != nil {
		return err
	}
	line, err := r.line()
	switch {
	case err != nil:
		return err
	case line == "+"+want:
		return nil
	case strings.HasPrefix(line, "-"):
		return redisFailure(at, line[1:])
	}
	return errNotSpoken
}

// redisFailure is what an error means, by its code; the rest of the text may be anything.
func redisFailure(at *phase, text string) error {
	code, rest, _ := strings.Cut(text, " ")
	if code == "NOAUTH" || code == "WRONGPASS" {
		*at = authentication
	}
	words := map[string]string{
		"NOAUTH":     "the server wants a password (NOAUTH)",
		"WRONGPASS":  "the server refuses the user name or password (WRONGPASS)",
		"NOPERM":     "this user may not PING (NOPERM)",
		"LOADING":    "the server is loading its data (LOADING)",
		"MASTERDOWN": "the replica has lost its primary (MASTERDOWN)",
		"DENIED":     "the server lets in its own host only (protected mode)",
	}[code]
	switch {
	case code == "NOPERM" && *at == query:
		words = "this user may not EVAL, which role=primary needs (NOPERM)"
	case code == "MOVED", code == "ASK":
		return errMoved
	case code == "NOPERM" && *at == authentication:
		words = "this user may not SELECT the database (NOPERM)"
	case words != "":
	case slices.Contains([]string{"MISCONF", "BUSY", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "OOM"}, code):
		words = "the server answers " + code
	case strings.HasPrefix(rest, "max number of clients"):
		words = "the server has too many clients"
	case *at == authentication:
		words = "the server refuses the user name, password or database"
	default:
		words = "the server answers an error"
	}
	return verdictf("%s", words)
}

//go:build linux

package ha

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// cluster is three PostgreSQL servers that Patroni keeps, with its decisions in etcd.
type cluster struct {
	etcd  *machine
	nodes []*machine
}

// settings are Patroni's. They are short, so that a failover takes seconds; the relation
// loop_wait + 2 x retry_timeout <= ttl is Patroni's own condition for one primary at a time. etcd is asked by its API
// version 2: by version 3, Patroni 3.0.2 of Debian 12 takes the lock back unasked after a SIGCONT (docs/scale.md).
// wal_sender_timeout is long: after its default of 60 s a primary drops standbys that are cut off, and Patroni lets none
// of them take over when it is killed.
const settings = `
scope: accounts
name: %[1]s
etcd: {host: '%[3]s:2379'}
restapi: {listen: '%[2]s:8008', connect_address: '%[2]s:8008'}
bootstrap:
  dcs:
    ttl: 8
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: true
    synchronous_mode_strict: true
    postgresql:
      use_pg_rewind: true
      parameters: {wal_log_hints: 'on', max_connections: 100, wal_keep_size: 512MB, wal_sender_timeout: 10min, wal_retrieve_retry_interval: 200ms}
      pg_hba: [host all all 10.9.0.0/24 trust, host replication all 10.9.0.0/24 trust]
  initdb: [encoding: UTF8, locale: C, no-sync]
postgresql:
  listen: '%[2]s:5432'
  connect_address: '%[2]s:5432'
  data_dir: '%[4]s/data'
  pgpass: '%[4]s/pgpass'
  bin_dir: '%[5]s'
  remove_data_directory_on_rewind_failure: true
  authentication:
    superuser: {username: postgres, password: unused}
    replication: {username: replicator, password: unused}
    rewind: {username: postgres, password: unused}
  parameters: {unix_socket_directories: '%[4]s'}
`

// newCluster starts a cluster with strict synchronous replication, and waits until it takes writes.
func newCluster(t *testing.T, folder string) *cluster {
	t.Helper()
	postgres := harness.Unprivileged(t).Credential
	bin, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_rewind")
	if len(bin) == 0 {
		t.Fatal("needs PostgreSQL (.ci/run has Debian's package)")
	}
	own := func(name string) string {
		path := filepath.Join(data(folder), name)
		harness.Must(t, errors.Join(os.Mkdir(path, 0o700), os.Chown(path, int(postgres.Uid), int(postgres.Gid))))
		return path
	}
	client := "http://" + etcdAddr + ":2379"
	c := &cluster{etcd: &machine{name: "etcd", addr: etcdAddr, user: postgres,
		args: []string{"etcd", "--data-dir", own("etcd"), "--listen-client-urls", client, "--advertise-client-urls", client, "--log-level", "error", "--enable-v2"}}}
	c.etcd.start(t)
	for i := range 3 {
		name, addr := fmt.Sprint("node", i+1), fmt.Sprint("10.9.0.", 11+i)
		home := own(name)
		file := filepath.Join(home, "patroni.yml")
		text := fmt.Sprintf(settings, name, addr, etcdAddr, home, filepath.Dir(bin[len(bin)-1]))
		harness.Must(t, os.WriteFile(file, []byte(text), 0o644))
		c.nodes = append(c.nodes, &machine{name: name, addr: addr, user: postgres, args: []string{"patroni", file}})
		c.nodes[i].start(t)
	}
	t.Cleanup(func() {
		for _, m := range append(c.nodes, c.etcd) {
			m.cmd.Process.Kill()
			if t.Failed() {
				t.Logf("log of %s:\n%s", m.name, tail(m.log.String()))
			}
		}
	})
	c.whole(t)
	return c
}

func tail(log string) string { return log[max(0, len(log)-6000):] }

// rest makes a request to Patroni.
func rest(method string, of *machine, path, body string, answer any) error {
	client := http.Client{Timeout: time.Minute} // a switchover answers when it is done
	defer client.CloseIdleConnections()
	req, err := http.NewRequest(method, "http://"+of.addr+":8008"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s of %s: %s", method, path, of.name, resp.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// primary waits until one node is the primary, and returns it and the others.
func (c *cluster) primary(tb testing.TB) (primary *machine, standbys []*machine) {
	tb.Helper()
	return c.successor(tb, nil)
}

// successor is primary, if that is not this node.
func (c *cluster) successor(tb testing.TB, of *machine) (primary *machine, others []*machine) {
	tb.Helper()
	harness.Must(tb, harness.Eventually(patience, func() error {
		primary, others = nil, nil
		for _, n := range c.nodes {
			if n != of && primary == nil && rest(http.MethodGet, n, "/primary", "", nil) == nil {
				primary = n
			} else {
				others = append(others, n)
			}
		}
		if primary == nil {
			return errors.New("no node is the primary")
		}
		return nil
	}))
	return primary, others
}

// patience bounds every wait for the cluster. Only a test that fails uses it up.
const patience = 4 * time.Minute

// whole waits until all three nodes run, two follow the primary, and, in synchronous mode, one of them confirms writes.
// What a node says of itself in etcd may be old, so the primary must send to both: one that is still rewound would wait
// for ever for a source that the next round takes away.
func (c *cluster) whole(tb testing.TB) {
	tb.Helper()
	harness.Must(tb, harness.Eventually(patience, func() error {
		var config struct {
			Synchronous bool `json:"synchronous_mode"`
		}
		var cluster struct {
			Members []struct{ Name, Role, State string }
		}
		var sending struct{ Replication []struct{ State string } }
		primary, _ := c.primary(tb)
		err := errors.Join(rest(http.MethodGet, primary, "/config", "", &config), rest(http.MethodGet, primary, "/cluster", "", &cluster),
			rest(http.MethodGet, primary, "/patroni", "", &sending))
		if err != nil {
			return err
		}
		roles := map[string]int{}
		for _, m := range cluster.Members {
			if m.State == "running" || m.State == "streaming" {
				roles[m.Role]++
			}
		}
		want := map[string]int{"leader": 1, "replica": 2}
		if config.Synchronous {
			want = map[string]int{"leader": 1, "replica": 1, "sync_standby": 1}
		}
		streams := 0
		for _, r := range sending.Replication {
			if r.State == "streaming" {
				streams++
			}
		}
		if !maps.Equal(roles, want) || streams != 2 {
			return fmt.Errorf("the cluster is not whole: %+v; the primary sends to %+v", cluster.Members, sending.Replication)
		}
		return nil
	}))
}

//go:build linux

package swarm

import (
	"fmt"
	"os/exec"
	"path/filepath"

	"accountservice/tests/harness"
)

// compose is the command that this machine has: the engine's plugin, or the older program of its own.
func (d docker) compose() []string {
	if _, err := d.try("compose", "version"); err == nil {
		return []string{"docker", "compose"}
	}
	if _, err := exec.LookPath("docker-compose"); err != nil {
		d.t.Fatal("needs docker compose (Debian: apt-get install docker-compose)")
	}
	return []string{"docker-compose"}
}

// composeOneMachine is the way of a machine without a Swarm: up, down, and up again with the accounts that were there.
func composeOneMachine(d docker, i image) {
	project, port := unique("compose"), fmt.Sprint(harness.Port(d.t))
	words := append(d.compose(), "--file", filepath.Join(root, "configs", "compose.yml"), "--project-name", project)
	env := []string{"ACCOUNTS_IMAGE=" + i.name, "ACCOUNTS_PORT=" + port}
	run := func(d docker, args ...string) (string, error) {
		return command(d.ctx, env, words[0], append(words[1:len(words):len(words)], args...)...)
	}
	d.later("compose "+project, func(d docker) error {
		_, err := run(d, "down", "--volumes")
		return err
	})
	url := "http://127.0.0.1:" + port
	up := func() (id string) {
		d.t.Helper()
		_, err := run(d, "up", "--detach", "--no-build")
		if err == nil {
			id, err = run(d, "ps", "--quiet", "accountservice")
		}
		harness.Must(d.t, err)
		d.eventually(patience, "a healthy container", func() (bool, string) { return d.healthy(id) })
		return id
	}
	id := up()
	d.wantDetailedHealth(url, i.version)
	d.rename(url, "10000", "Kept")
	d.wantHosts(url, "localhost", "127.0.0.1:"+port, "accountservice:6767")
	_, err := run(d, "stop")
	harness.Must(d.t, err)
	var c container
	if err := d.inspect(&c, "container", id); err != nil || c.State.ExitCode != 0 {
		d.t.Errorf("stopped: %v (%v), want exit code 0", c, err)
	}
	_, err = run(d, "down")
	harness.Must(d.t, err)
	if _, err := d.try("inspect", "--type", "container", id); err == nil {
		d.t.Error("down left the container")
	}
	up()
	d.wantAccount(url, "10000", "Kept")
	measured(d.t, fmt.Sprintf("%s up, down, up", filepath.Base(words[0])), "the accounts are there")
}

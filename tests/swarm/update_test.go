//go:build linux

package swarm

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"accountservice/tests/harness"
)

// release is the image with one more layer: a Dockerfile's instruction.
func (d docker) release(i image, instruction string) string {
	d.t.Helper()
	return d.build("release", d.t.TempDir(), "FROM "+i.name+"\n"+instruction+"\n")
}

// build makes an image of a folder and this Dockerfile, which goes with the test.
func (d docker) build(what, dir, dockerfile string) (name string) {
	d.t.Helper()
	name = unique(what) + ":latest"
	harness.Must(d.t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600))
	d.later("image "+name, func(d docker) error { return removeImage(d.ctx, name) })
	d.run("build", "--quiet", "--tag", name, dir)
	return name
}

// updateOneReplica updates the one owner of a database under load: how long is
// nobody there, and is everything there that was acknowledged before?
func updateOneReplica(d docker, i image) {
	next := d.release(i, "LABEL release=next")
	s := newStack(d)
	s.deploy(i.name)
	old := s.healthyTask()
	l := load{url: s.url}
	stop := l.run(d.t, 1, 2, 5*time.Millisecond)
	began := time.Now()
	s.deploy(next)
	fresh := s.healthyTask(old.ID)
	took := time.Since(began)
	stop()
	if fresh.Spec.ContainerSpec.Image != next {
		d.t.Errorf("%v runs %s, want %s", fresh, fresh.Spec.ContainerSpec.Image, next)
	}
	ended, _ := s.end(old)
	if ended.Status.ContainerStatus.ExitCode != 0 || ended.Status.State != "shutdown" {
		d.t.Errorf("%v: want shutdown with exit code 0, it was told to stop while healthy", ended)
	}
	l.wantNoneLost(d.t)
	if len(l.acknowledged) == 0 {
		d.t.Errorf("nothing was written: %q", l.errors)
	}
	measured(d.t, "update of one replica (stop-first): order to a healthy task", seconds(took))
	measured(d.t, "update of one replica: its gap, from the first request that failed to the last", seconds(l.lastWrong.Sub(l.firstWrong)))
	measured(d.t, "update of one replica: writes acknowledged meanwhile, lost", fmt.Sprintf("%d, 0", len(l.acknowledged)))
	measured(d.t, "update of one replica: exit code of the old task, told to stop while healthy", "0")
}

// status is what docker service inspect says of the last update.
func (s *stack) status() (state, message string) {
	s.t.Helper()
	var update struct{ State, Message string }
	harness.Must(s.t, json.Unmarshal([]byte(s.run("service", "inspect", "--format", "{{json .UpdateStatus}}", s.service())), &update))
	return update.State, update.Message
}

// serves says whether n healthy tasks run an image.
func (s *stack) serves(image string, n int) (bool, string) {
	all, err := s.tasks()
	for _, k := range all {
		if k.DesiredState == "running" && k.Spec.ContainerSpec.Image == image {
			if well, _ := s.healthy(k.Status.ContainerStatus.ContainerID); well {
				n--
			}
		}
	}
	return n == 0, fmt.Sprint(all, err)
}

// wantRolledBack waits until Swarm has taken a release back, and wants the old one to serve what it had. It measures
// how long that took since a moment, and wants docker service ps to say why of the task that was the release.
func (s *stack) wantRolledBack(i image, bad string, since time.Time, name, which, want string) {
	s.t.Helper()
	s.eventually(patience, "a rollback that begins", func() (bool, string) {
		state, message := s.status()
		return strings.HasPrefix(state, "rollback"), state + " " + message
	})
	why, engine := "", ""
	s.eventually(patience, "the old release serves", func() (bool, string) {
		all, err := s.tasks()
		for _, k := range all {
			switch of := k.Status.Err; {
			case k.Spec.ContainerSpec.Image != bad || of == "":
			case strings.Contains(of, "starting container failed"): // a busy engine can fail to mount a secret
				engine = of
			default:
				why = of
			}
		}
		if why+engine == "" {
			return false, fmt.Sprint(all, err)
		}
		return s.serves(i.name, 1)
	})
	s.wantAccount(s.url, "10000", "Kept")
	measured(s.t, name, seconds(time.Since(since)))
	measured(s.t, "`docker service ps` says of the release "+which, "`"+why+"`")
	switch {
	case why == "":
		s.t.Logf("the engine could not start a task of the release, and shows that error alone: %s", engine)
	case !strings.Contains(why, want):
		s.t.Errorf("docker service ps says %q of the bad release, want %q", why, want)
	}
	s.eventually(patience, "the rollback completed", func() (bool, string) {
		state, message := s.status()
		return state == "rollback_completed", state + " " + message
	})
}

// quickRollback shortens the monitor of a rollback, where its end is waited for.
const quickRollback = `
services:
  accountservice:
    deploy:
      rollback_config: {monitor: 5s}
`

// badRelease never becomes healthy: its database can't be opened.
func badRelease(d docker, i image) {
	s, bad, _ := i.deployBad(d, "ENV ACCOUNTSERVICE_STORE_BOLT_PATH=/nowhere/accounts.db", "")
	s.wantRolledBack(i, bad, time.Now(), "release whose database can't open: order to the old one healthy again",
		"that can't open", "non-zero exit (1)")
	if log := s.logs("service", "logs", "--raw", s.service()); !strings.Contains(log, "/nowhere/accounts.db") {
		d.t.Errorf("the log does not say which file could not be opened:\n%s", log)
	}
}

// late is a release that is healthy at first, and harmed at the end of the time in which the stack file promises a
// rollback.
type late struct {
	what        string
	instruction string // of its Dockerfile
	data        string // a piece of stack file
	harm        func(*stack, task)
	cured       func() // called when the harmed task has ended
}

// sickRelease falls ill: it keeps its accounts in a file of its own, which is cut.
func sickRelease(d docker, i image) {
	late{what: "that falls ill", instruction: "ENV ACCOUNTSERVICE_STORE_BOLT_PATH=/data/next.db",
		harm: func(s *stack, _ task) { s.onVolume("truncate -s 0 /to/next.db") }}.play(d, i)
}

// hungRelease hangs: after the probes all of its grace period passes before Swarm sees a task that failed.
func hungRelease(d docker, i image) {
	late{what: "that hangs", instruction: "LABEL release=hangs", harm: (*stack).hang}.play(d, i)
}

// hungDisk is a release whose disk hangs: only after checks.bolt.hung_after it is unhealthy.
func hungDisk(d docker, i image) {
	needRoot(d.t)
	disk := newHangingDisk(d.t)
	late{what: "whose disk hangs", instruction: "LABEL release=hangs-in-commit", data: dataFrom(disk.dir),
		harm: disk.hang, cured: disk.cure}.play(d, i)
}

func (l late) play(d docker, i image) {
	s, bad, old := i.deployBad(d, l.instruction, l.data)
	sick := s.healthyTask(old.ID)
	d.pause(early)
	broken := time.Now()
	l.harm(s, sick)
	at := s.unhealthyAt(sick, broken)
	name := fmt.Sprintf("release %s %.0f s after it was healthy: its fault", l.what, early.Seconds())
	measured(d.t, name+" to unhealthy", seconds(at.Sub(broken)))
	if l.cured != nil {
		s.end(sick)
		l.cured()
	}
	s.wantRolledBack(i, bad, broken, name+" to the old release healthy again", l.what, "unhealthy")
}

// deployBad updates a service that is well to the image with one more instruction.
func (i image) deployBad(d docker, instruction, data string) (s *stack, bad string, old task) {
	d.t.Helper()
	bad = d.release(i, instruction)
	s = newStack(d)
	more := []string{quickRollback}
	if data != "" {
		more = append(more, data)
	}
	s.deploy(i.name, more...)
	old = s.healthyTask()
	s.rename(s.url, "10000", "Kept")
	s.deploy(bad, more...)
	return s, bad, old
}

// updateReplicas updates two replicas with databases of their own.
func updateReplicas(d docker, i image) {
	d.updateUnderLoad(i, "two replicas behind HAProxy", 2, "testdata/replicas.yml", "ACCOUNTS_VOLUME="+unique("volume"))
}

// updateSharedReplicas updates three replicas whose accounts are in PostgreSQL.
func updateSharedReplicas(d docker, i image) {
	url := d.postgres()
	d.run("run", "--rm", "--env", "ACCOUNTSERVICE_STORE_DRIVER=postgres", "--env", "ACCOUNTSERVICE_STORE_POSTGRES_URL="+url,
		i.name, "migrate", "up")
	d.updateUnderLoad(i, "three replicas with PostgreSQL behind HAProxy", 3, root+"/configs/stack.postgres.yml",
		"ACCOUNTS_POSTGRES_URL="+d.secret(url), "ACCOUNTS_REQUIRE_SYNC=false")
}

// postgres starts a server on this machine that tasks can reach, and returns its URL.
func (d docker) postgres() (url string) {
	d.t.Helper()
	harness.NeedPostgres(d.t)
	p, err := harness.StartPostgres("listen_addresses=*", "hba_file="+d.trusting())
	harness.Must(d.t, err)
	d.later("PostgreSQL", func(docker) error { return p.Remove() })
	return fmt.Sprintf("postgres://postgres@%s:%d/postgres?sslmode=disable", gateway(d), p.Port)
}

// trusting is a pg_hba.conf for a server that only this machine and its containers reach.
func (d docker) trusting() (file string) {
	d.t.Helper()
	file = filepath.Join(d.t.TempDir(), "pg_hba.conf")
	harness.Must(d.t, os.WriteFile(file, []byte("local all all trust\nhost all all 127.0.0.0/8 trust\nhost all all 172.16.0.0/12 trust\n"), 0o644))
	harness.Must(d.t, os.Chmod(filepath.Dir(filepath.Dir(file)), 0o755))
	harness.Must(d.t, os.Chmod(filepath.Dir(file), 0o755))
	return file
}

// updateUnderLoad updates the n replicas of a stack file behind HAProxy under steady load: not one request may fail, or
// need a second try.
func (d docker) updateUnderLoad(i image, what string, n int, file string, env ...string) {
	d.t.Helper()
	next := d.release(i, "LABEL release=next")
	env = append(env, "HAPROXY_IMAGE="+d.imageOf("haproxy", `ENTRYPOINT ["haproxy"]`), "HAPROXY_CONFIG="+d.strictConfig())
	s := newStack(d) // after what it uses, which is removed after it
	s.deployFiles(i.name, env, file)
	s.eventually(patience, "healthy replicas", func() (bool, string) { return s.serves(i.name, n) })
	s.eventually(patience, "all behind HAProxy", func() (bool, string) {
		ok := true
		for range 3 * n { // round robin: each is asked
			good, _ := s.answers(s.url + "/ready")
			ok = ok && good
		}
		return ok, ""
	})
	l := load{url: s.url}
	stop := l.run(s.t, 6, 2, 20*time.Millisecond)
	began := time.Now()
	s.deployFiles(next, env, file)
	s.eventually(patience, "healthy replicas of the next release", func() (bool, string) { return s.serves(next, n) })
	took := time.Since(began)
	s.pause(5 * time.Second) // some more load
	stop()
	if wrong := l.wrong.Load(); wrong > 0 {
		s.t.Errorf("%d of %d requests failed, want none: %q\nHAProxy:\n%s", wrong, l.asked.Load(), l.errors,
			s.logs("service", "logs", "--raw", s.name+"_haproxy"))
	}
	measured(s.t, "update of "+what+": order to all healthy", seconds(took))
	measured(s.t, "update of "+what+": requests over kept-alive connections, failed", fmt.Sprintf("%d, %d", l.asked.Load(), l.wrong.Load()))
}

// strictConfig is configs/haproxy.cfg without its second chances: what fails
// once has failed, so that HAProxy hides nothing that the service does wrong.
func (d docker) strictConfig() (file string) {
	d.t.Helper()
	text := read(d.t, "configs/haproxy.cfg")
	for chance, none := range map[string]string{"retries 3\n": "retries 0\n", "option redispatch ": "no option redispatch "} {
		if strings.Count(text, chance) != 1 {
			d.t.Fatalf("configs/haproxy.cfg has not exactly one %q", chance)
		}
		text = strings.Replace(text, chance, none, 1)
	}
	file = harness.File(d.t, "haproxy.cfg", text)
	return file
}

// imageOf puts a program of this machine into an image, with one more line of its Dockerfile, because without a registry
// the program's own image cannot be pulled.
func (d docker) imageOf(name, line string) string {
	d.t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		program = "/usr/sbin/" + name // not in every user's PATH
	}
	binary, err := elf.Open(program)
	if err != nil {
		d.t.Fatalf("needs %s (Debian: apt-get install %[1]s): %v", name, err)
	}
	defer binary.Close()
	dir := d.t.TempDir()
	files := []string{program}
	if names, err := binary.ImportedLibraries(); err != nil || len(names) > 0 { // ldd has an error for a static program
		libraries, err := command(d.ctx, nil, "ldd", program)
		harness.Must(d.t, err)
		for _, word := range strings.Fields(libraries) {
			if strings.HasPrefix(word, "/") {
				files = append(files, word)
			}
		}
	}
	for _, file := range files {
		to := filepath.Join(dir, "root", file)
		harness.Must(d.t, os.MkdirAll(filepath.Dir(to), 0o755))
		harness.Must(d.t, copyTree(file, to))
	}
	return d.build(name, dir, fmt.Sprintf("FROM scratch\nCOPY root /\nENV PATH=%s\n%s\n", filepath.Dir(program), line))
}

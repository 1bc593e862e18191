package peers

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// readyWithin is how long a peer may take to answer: the large database is seeded meanwhile.
const readyWithin = 3 * time.Minute

// process is a server that was started here.
type process struct{ *harness.Process }

// run starts a program. In its arguments, $PORT is the port of its address.
func run(t *testing.T, program, arguments string) *process {
	t.Helper()
	return &process{harness.Start(t, exec.Command("sh", "-c", `PORT=$ACCOUNTSERVICE_HTTP_PORT; exec "$0" `+arguments, program), "")}
}

// healthy waits for a 200 of the path. It asks each millisecond: the time of a start is measured by it.
func (p *process) healthy(ctx context.Context, path string) error {
	for begun := time.Now(); time.Since(begun) < readyWithin && ctx.Err() == nil; <-time.After(time.Millisecond) {
		if answer, err := http.Get(p.URL + path); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("%s is not healthy within %s:\n%s", p.Cmd, readyWithin, p.Log)
}

// measured adds to what f measures of the process how much CPU each answer took it.
func (p *process) measured(f func() (result, error)) (result, error) {
	pid := p.Cmd.Process.Pid
	before, begun := harness.CPU(pid), time.Now()
	r, err := f()
	if answers := r.rate * time.Since(begun).Seconds(); answers > 0 {
		r.cpu = time.Duration(float64(harness.CPU(pid)-before) / answers)
	}
	return r, err
}

// peers are all servers of a run.
type peers struct {
	*testing.T
	dir      string
	bin      string
	accounts int
	hung     string // the address of one that takes connections and never answers

	gin, nethttp, tutorial, pocketbase *process // pocketbase may be nil
	small                              *process // accountservice with its defaults
	large                              *process // with many accounts, beside a dependency that hangs
}

// startPeers builds the peers and starts all servers.
func startPeers(t *testing.T) *peers {
	t.Helper()
	p := &peers{T: t, dir: t.TempDir(), accounts: o.accounts, hung: harness.Serve(t, harness.Silent).String()}
	var err error
	p.bin, err = filepath.Abs(o.bin)
	harness.Must(t, err)
	build := func(name string) string {
		file := filepath.Join(p.dir, name)
		harness.Output(t, exec.CommandContext(t.Context(), "go", "build", "-o", file, "./"+name))
		return file
	}
	const address = ` -addr "127.0.0.1:$PORT"`
	build("empty")
	bare := build("bare")
	p.gin, p.nethttp = run(t, bare, address), run(t, bare, "-nethttp"+address)
	p.tutorial = run(t, build("tutorial"), "-db "+filepath.Join(p.dir, "tutorial.db")+address)
	p.small = p.service("small.db")
	p.large = p.startLarge(fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", p.accounts))
	for _, server := range []*process{p.gin, p.nethttp, p.tutorial, p.small, p.large} {
		harness.Must(t, server.healthy(t.Context(), "/health"))
	}
	if !o.short {
		p.pocketbase = run(t, build("pocketbase"), `serve --http "127.0.0.1:$PORT" --dir `+filepath.Join(p.dir, "pb_data"))
		harness.Must(t, p.pocketbase.healthy(t.Context(), "/api/health"))
	}
	return p
}

// startLarge starts accountservice with the large database.
func (p *peers) startLarge(env ...string) *process {
	p.Helper()
	return p.service("large.db", append(env, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_HUNG_URL=http://"+p.hung+"/")...)
}

func (p *peers) service(database string, env ...string) *process {
	p.Helper()
	return &process{harness.Start(p.T, exec.Command(filepath.Join(p.bin, "accountservice")), filepath.Join(p.dir, database),
		append(env, "ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:0")...)}
}

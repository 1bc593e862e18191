package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// readyWithin is how long a peer may take to answer: the large database is seeded meanwhile.
const readyWithin = 3 * time.Minute

// build compiles the peers into dir.
func build(ctx context.Context, dir string, pocketbase bool) error {
	names := []string{"bare", "tutorial", "empty"}
	if pocketbase {
		names = append(names, "pocketbase")
	}
	for _, name := range names {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, name), "./"+name)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("go build ./%s: %w", name, err)
		}
	}
	return nil
}

// process is a server that was started here.
type process struct {
	cmd *exec.Cmd
	url string
	log bytes.Buffer
}

// start runs a program until the health of its address is 200. address returns what tells the program its address.
func start(ctx context.Context, program, health string, address func(port string) (args, env []string)) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args, env := address(port)
	p := &process{cmd: exec.Command(program, args...), url: "http://127.0.0.1:" + port}
	p.cmd.Env = append(withoutSettings(os.Environ()), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for begun := time.Now(); ; {
		answer, err := http.Get(p.url + health)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return p, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), p.stop())
		case <-time.After(time.Millisecond):
		}
		if time.Since(begun) > readyWithin {
			p.stop()
			return nil, fmt.Errorf("%s is not healthy after %s:\n%s", program, readyWithin, p.log.String())
		}
	}
}

// cpu is the time that the process has computed, in the kernel too.
func (p *process) cpu() time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0 // no Linux
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 everywhere
}

// measured adds to what f measures of the process how much CPU each answer took it.
func (p *process) measured(f func() (result, error)) (result, error) {
	before, begun := p.cpu(), time.Now()
	r, err := f()
	if answers := r.rate * time.Since(begun).Seconds(); answers > 0 {
		r.cpu = time.Duration(float64(p.cpu()-before) / answers)
	}
	return r, err
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	p.cmd.Process.Kill()
	p.cmd.Wait()
	return nil
}

// withoutSettings leaves out variables of the service: it is measured with its defaults.
func withoutSettings(environ []string) (rest []string) {
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "ACCOUNTSERVICE_") {
			rest = append(rest, entry)
		}
	}
	return rest
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// peers are all servers of a run.
type peers struct {
	dir      string
	bin      string
	accounts int
	hung     net.Listener // takes connections and never answers

	gin, nethttp, tutorial, pocketbase *process // pocketbase may be nil
	small                              *process // accountservice with its defaults
	large                              *process // with many accounts, beside a dependency that hangs
}

func startPeers(ctx context.Context, dir string, o options) (p *peers, err error) {
	p = &peers{dir: dir, accounts: o.accounts}
	if p.bin, err = filepath.Abs(o.bin); err != nil {
		return p, err
	}
	if p.hung, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return p, err
	}
	bare := func(more ...string) func(string) ([]string, []string) {
		return func(port string) ([]string, []string) { return append(more, "-addr", "127.0.0.1:"+port), nil }
	}
	p.gin, err = start(ctx, filepath.Join(dir, "bare"), "/health", bare())
	if err == nil {
		p.nethttp, err = start(ctx, filepath.Join(dir, "bare"), "/health", bare("-nethttp"))
	}
	if err == nil {
		p.tutorial, err = start(ctx, filepath.Join(dir, "tutorial"), "/health", bare("-db", filepath.Join(dir, "tutorial.db")))
	}
	if err == nil && o.pocketbase {
		p.pocketbase, err = start(ctx, filepath.Join(dir, "pocketbase"), "/api/health", func(port string) ([]string, []string) {
			return []string{"serve", "--http", "127.0.0.1:" + port, "--dir", filepath.Join(dir, "pb_data")}, nil
		})
	}
	if err == nil {
		p.small, err = p.service(ctx, "small.db")
	}
	if err == nil {
		p.large, err = p.startLarge(ctx, fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", p.accounts))
	}
	return p, err
}

// startLarge starts accountservice with the large database.
func (p *peers) startLarge(ctx context.Context, env ...string) (*process, error) {
	return p.service(ctx, "large.db", append(env, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_HUNG_URL=http://"+p.hung.Addr().String()+"/")...)
}

func (p *peers) service(ctx context.Context, database string, env ...string) (*process, error) {
	admin, err := freePort()
	if err != nil {
		return nil, err
	}
	return start(ctx, filepath.Join(p.bin, "accountservice"), "/health", func(port string) ([]string, []string) {
		return nil, append(env, "ACCOUNTSERVICE_HTTP_HOST=127.0.0.1", "ACCOUNTSERVICE_HTTP_PORT="+port,
			"ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:"+admin, "ACCOUNTSERVICE_STORE_BOLT_PATH="+filepath.Join(p.dir, database))
	})
}

func (p *peers) stop() {
	for _, server := range []*process{p.gin, p.nethttp, p.tutorial, p.pocketbase, p.small, p.large} {
		if server != nil {
			server.stop()
		}
	}
	if p.hung != nil {
		p.hung.Close()
	}
}

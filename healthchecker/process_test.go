package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/probesocket"
	"accountservice/tests/harness"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// echoCredentials tells the asker what it was sent, in words a probe prints.
func echoCredentials(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	w.WriteHeader(503)
	io.WriteString(w, `{"status":"Unavailable","failures":{"auth":"`+user+` `+password+` `+r.Header.Get("Authorization")+`"}}`)
}

func TestExitCodes(t *testing.T) {
	up, down := serve(t, 200, healthy), serve(t, 503, sick)
	port := portOf(t, up.Listener.Addr())
	broken := []string{"ACCOUNTSERVICE_HTTP_PORT=nonsense"}
	for name, row := range map[string]struct {
		environ []string
		args    []string
		words   []string // none: healthy
	}{
		"port":                       {nil, []string{"-port=" + port}, nil},
		"two dashes":                 {nil, []string{"--port", port}, nil},
		"port, broken configuration": {broken, []string{"-port=" + port}, nil},
		"url, broken configuration":  {broken, []string{"-url", up.URL + "/health"}, nil},
		"url and component":          {nil, []string{"-url=" + up.URL + "/health", "-component=accountservice"}, nil},
		"sick":                       {nil, []string{"-port=" + portOf(t, down.Listener.Addr())}, []string{"Unavailable: bolt (restart): file replaced"}},
		"unknown flag":               {nil, []string{"-prot=1"}, []string{"wrong command line", "-prot"}},
		"port is no number":          {nil, []string{"-port=http"}, []string{"-port: want a number from 1 to 65535"}},
		"port 0":                     {nil, []string{"-port=0"}, []string{"-port: want a number"}},
		"port too large":             {nil, []string{"-port=65536"}, []string{"-port: want a number"}},
		"port without a value":       {nil, []string{"-port"}, []string{"flag needs an argument: -port"}},
		"empty port":                 {nil, []string{"-port="}, []string{"-port: want a value"}},
		"empty url":                  {nil, []string{"-url", ""}, []string{"-url: want a value"}},
		"empty component":            {nil, []string{"-port", port, "-component="}, []string{"-component: want a value"}},
		"extra argument":             {nil, []string{"-port=" + port, "extra"}, []string{"an argument that is no flag"}},
		"port and url":               {nil, []string{"-port=" + port, "-url", up.URL}, []string{"only one of -port and -url"}},
		"no such scheme":             {nil, []string{"-url", "localhost:6767"}, []string{"-url must begin with http://"}},
		"url without a host":         {nil, []string{"-url", "http:///health"}, []string{"-url names no host"}},
		"relative socket":            {nil, []string{"-url", "unix://app.sock"}, []string{"a socket is written unix:///run/app.sock:/health"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			executed(t, row.environ, row.args...).is(t, row.words)
		})
	}
}

func TestHelpIsUsageAndNotHealthy(t *testing.T) {
	for _, arg := range []string{"-h", "-help", "--help"} {
		if v := executed(t, nil, arg); v != (verdict{1, usage}) {
			t.Errorf("%s: exit code %d, output %q; want 1 and the usage", arg, v.code, v.out)
		}
	}
}

func TestServiceOfTheSameEnvironmentIsAskedOnItsOwnSocket(t *testing.T) {
	file := "ACCOUNTSERVICE_CONFIG=" + filepath.Join(t.TempDir(), "missing.yaml") // no other test has it
	up, down, none := []string{file, "ACCOUNTSERVICE_HTTP_PORT=1"}, []string{file, "ACCOUNTSERVICE_HTTP_PORT=2"}, []string{file}
	serveOn(t, socketOf(t, up), serve(t, 200, healthy).Config.Handler.ServeHTTP)
	serveOn(t, socketOf(t, down), serve(t, 503, sick).Config.Handler.ServeHTTP)
	for name, row := range map[string]struct {
		environ, args []string
		words         []string // none: healthy
	}{
		"healthy":                 {up, nil, nil},
		"sick":                    {down, nil, []string{"Unavailable: bolt (restart): file replaced"}},
		"none":                    {none, nil, []string{"no accountservice answers its probe here", "use -port"}},
		"other variables":         {append(up, "ACCOUNTSERVICE_LOG_LEVEL=loud", "ACCOUNTSERVICE_HTPT=x"), nil, nil},
		"not the component":       {up, []string{"-component=vip"}, []string{`answer is from "accountservice", not vip`}},
		"the flag of the service": {up, []string{"-config=x.yaml"}, []string{"wrong command line", "-config"}},
	} {
		t.Run(name, func(t *testing.T) { executed(t, row.environ, row.args...).is(t, row.words) })
	}
}

func TestWithoutProcTheProbeSaysWhatToUse(t *testing.T) {
	probe := filepath.Join(t.TempDir(), "healthchecker")
	build := exec.Command("go", "build", "-o", probe, ".") // the race detector needs /proc
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	harness.Output(t, build)
	cmd := exec.Command("sh", "-c", `mount -t tmpfs none /proc && exec "$0"`, probe)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.Output()
	if code, ran := errors.AsType[*exec.ExitError](err); !ran || len(code.Stderr) > 0 {
		t.Skipf("/proc can't be hidden here: %v", err)
	}
	verdict{cmd.ProcessState.ExitCode(), string(out)}.sick(t, "without /proc: use -port")
}

// socketOf returns the socket of a service with this environment.
func socketOf(t *testing.T, environ []string) string {
	t.Helper()
	name, err := probesocket.Name(environ)
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	return name
}

func serveOn(t *testing.T, socket string, handle http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	harness.Must(t, err)
	s := &http.Server{Handler: handle}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

func TestTwoSecondsAreTheLimit(t *testing.T) {
	t.Parallel()
	addr := harness.Serve(t, drips("HTTP/1.1 200 OK\r\n\r\n", " "))
	start := time.Now()
	executed(t, nil, "-port="+portOf(t, addr)).sick(t, addr.String()+" within 2s\n")
	if took := time.Since(start); took < limit || took > hang {
		t.Errorf("took %v, want %v", took, limit)
	}
}

func TestProxyIsNotUsed(t *testing.T) {
	var hits atomic.Int32
	trap := serveFunc(t, func(w http.ResponseWriter, _ *http.Request) { hits.Add(1); io.WriteString(w, healthy) })
	environ := []string{"HTTP_PROXY=" + trap.URL, "http_proxy=" + trap.URL, "HTTPS_PROXY=" + trap.URL, "ALL_PROXY=" + trap.URL}
	up := serve(t, 200, healthy)
	executed(t, environ, "-port="+portOf(t, up.Listener.Addr())).healthy(t)
	for _, scheme := range []string{"http", "https"} { // a proxy is never asked for loopback anyway
		executed(t, environ, "-url", scheme+"://nobody.invalid/health").sick(t, "nobody.invalid")
	}
	if hits.Load() != 0 {
		t.Errorf("the proxy got %d requests", hits.Load())
	}
}

func TestTLSIsVerifiedWithTheCAOfTheEnvironment(t *testing.T) {
	ca := harness.NewAuthority(t)
	at := func(addr string, auth tls.ClientAuthType) (url string) {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 1 {
				t.Errorf("asked by %s", r.Proto)
			}
			io.WriteString(w, healthy)
		}))
		s.Listener.Close()
		l, err := net.Listen("tcp4", addr)
		harness.Must(t, err)
		s.Listener, s.EnableHTTP2, s.Config.ErrorLog = l, true, quiet()
		s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Own()}, ClientAuth: auth}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL + "/health"
	}
	roots, none := []string{"SSL_CERT_FILE=" + ca.File}, []string{"SSL_CERT_FILE=" + os.DevNull}
	for name, row := range map[string]struct {
		environ []string
		url     string
		words   []string // none: healthy
	}{
		"accepted":             {roots, at("127.0.0.1:0", tls.NoClientCert), nil},
		"other name":           {roots, at("127.0.0.2:0", tls.NoClientCert), []string{"no TLS handshake with 127.0.0.2:", "valid for 127.0.0.1, not 127.0.0.2"}},
		"other CA":             {none, at("127.0.0.1:0", tls.NoClientCert), []string{"no TLS handshake with 127.0.0.1:", "unknown authority", "; an authority of your own is named by -ca"}},
		"of the client wanted": {roots, at("127.0.0.1:0", tls.RequireAnyClientCert), []string{"no answer from 127.0.0.1:", "certificate required"}},
	} {
		t.Run(name, func(t *testing.T) {
			executed(t, append(row.environ, "SSL_CERT_DIR="+t.TempDir()), "-url", row.url, "-component", service).is(t, row.words)
		})
	}
}

func TestPanicIsAVerdict(t *testing.T) {
	err := recovered(func() error { panic("out of order") })
	if got, want := fmt.Sprint(err), "the probe itself failed: out of order"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSignalsAreExitCodeOne(t *testing.T) {
	for _, s := range fatalSignals() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{}, 1)
			addr := harness.Serve(t, func(c net.Conn) {
				c.Read(make([]byte, 4096))
				asked <- struct{}{}
				harness.Silent(c)
			})
			var stdout bytes.Buffer
			cmd := exec.Command(binary, "-port="+portOf(t, addr))
			cmd.Env, cmd.Stdout = processEnv(t, asProbe), &stdout
			harness.Must(t, cmd.Start())
			<-asked // it is past its start and waits
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			for running := true; running; { // it ignores signals at first
				select {
				case <-ended:
					running = false
				case <-time.After(5 * time.Millisecond):
					cmd.Process.Signal(s)
				}
			}
			verdict{cmd.ProcessState.ExitCode(), stdout.String()}.sick(t, "stopped by a signal: "+s.String())
		})
	}
}

func TestUnwritableStdoutIsExitCodeOne(t *testing.T) {
	args := []string{"-port=" + refusedPort(t)}
	reader, writer, err := os.Pipe()
	harness.Must(t, err)
	defer writer.Close()
	reader.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for name, cmd := range map[string]*exec.Cmd{
		"reader gone": exec.Command(binary, args...),
		"disk full":   exec.Command(binary, args...),
		"closed":      exec.Command("sh", "-c", `exec "$0" "$@" >&-`, binary, args[0]),
		"all closed":  exec.Command("sh", "-c", `exec "$0" "$@" <&- >&- 2>&-`, binary, args[0]),
	} {
		t.Run(name, func(t *testing.T) {
			cmd.Env = processEnv(t, asProbe)
			switch name {
			case "reader gone":
				cmd.Stdout, cmd.Stderr = writer, writer
			case "disk full":
				cmd.Stdout = full
			}
			if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("%v, want exit code 1", err)
			}
		})
	}
}

func TestStdoutThatHangsIsLeft(t *testing.T) {
	reader, full, err := os.Pipe()
	harness.Must(t, err)
	defer reader.Close()
	defer full.Close()
	harness.Must(t, full.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	for err == nil {
		_, err = full.Write(make([]byte, 4096))
	}
	cmd := exec.Command(binary, "-port="+refusedPort(t))
	cmd.Env, cmd.Stdout = processEnv(t, asProbe), full
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v, want exit code 1", err)
	}
}

func TestOneConnectionAndNoRetry(t *testing.T) {
	var hits atomic.Int32
	addr := harness.Serve(t, func(c net.Conn) { hits.Add(1); c.Read(make([]byte, 4096)) })
	probed(limit, []string{"-port=" + portOf(t, addr)}, nil).sick(t, "it closed the connection")
	if hits.Load() != 1 {
		t.Errorf("%d connections, want 1", hits.Load())
	}
}

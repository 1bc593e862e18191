package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"accountservice/config"
	"accountservice/tests/harness"
)

func line(i int) string {
	at := time.Date(2026, 1, 2, 3, 4, 5, 1000*(i%1_000_000), time.UTC).Format("2006-01-02T15:04:05.000000Z")
	return fmt.Sprintf(`{"id":"acc-%07d","name":"Person <%d> Ü","email":"p%d@example.org","labels":{"team":"t%d"},"version":%d,"created_at":"%s","updated_at":"%s"}`+"\n",
		i, i, i, i%97, i%9+1, at, at)
}

// command is accountservice with arguments, as a process, for the database at path.
func command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary(), args...)
	cmd.Env = []string{"GORACE=atexit_sleep_ms=0", "ACCOUNTSERVICE_STORE_BOLT_PATH=" + path,
		"ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=300ms"}
	return cmd
}

// with adds variables to the environment of a command.
func with(cmd *exec.Cmd, env ...string) *exec.Cmd {
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// ran is what became of a command.
type ran struct{ harness.Result }

func runs(t *testing.T, cmd *exec.Cmd) ran { t.Helper(); return ran{harness.Run(t, cmd)} }

func (r ran) is(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if r.Code != code || !strings.Contains(r.Stdout, stdout) || !strings.Contains(r.Stderr, stderr) {
		t.Errorf("exit %d, %q, %q; want %d, %q, %q", r.Code, r.Stdout, r.Stderr, code, stdout, stderr)
	}
}

// A pipe that nobody writes to yet must not keep others from the database.
func TestImportOpensTheDatabaseWhenThereIsInput(t *testing.T) {
	path := newPath(t)
	runs(t, command(path, "import", os.DevNull)).is(t, 0, "imported 0 lines", "")
	for _, dryRun := range []bool{true, false} {
		pipe, writer := io.Pipe()
		waiting, ended := make(chan struct{}), make(chan error, 1)
		load := func(...config.Rule) (config.Loaded, error) {
			return config.Load("", []string{"ACCOUNTSERVICE_STORE_BOLT_PATH=" + path})
		}
		var out harness.Buffer
		i := importing{program{load: load, stdout: &out, stderr: &out}, input{announced{pipe, sync.OnceFunc(func() { close(waiting) })}, "a pipe"}, dryRun}
		go func() { ended <- i.run(t.Context(), service{}) }()
		<-waiting
		runs(t, command(path, "import", os.DevNull)).is(t, 0, "imported 0 lines", "")
		io.WriteString(writer, line(1))
		writer.Close()
		if err := <-ended; err != nil || !strings.Contains(out.String(), "1 lines") {
			t.Errorf("dry run %v: %v, %s", dryRun, err, out.String())
		}
	}
}

// announced calls waiting before each Read.
type announced struct {
	io.ReadCloser
	waiting func()
}

func (a announced) Read(p []byte) (int, error) { a.waiting(); return a.ReadCloser.Read(p) }

func TestStreamMayTakeLongerThanARequest(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), "ACCOUNTSERVICE_STORE_SEED=0", "ACCOUNTSERVICE_HTTP_READ_HEADER_TIMEOUT=1s", "ACCOUNTSERVICE_HTTP_READ_TIMEOUT=2s")
	body, in := io.Pipe()
	go func() {
		for i := range 12 {
			io.WriteString(in, line(i))
			time.Sleep(250 * time.Millisecond) // 3 s in all
		}
		in.Close()
	}()
	resp, err := http.Post(p.URL+"/accounts:import", ndjson, body)
	harness.Must(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || err != nil || !strings.Contains(string(answer), `"created":12`) {
		t.Errorf("%d %s, %v", resp.StatusCode, answer, err)
	}
}

func TestImportStopsAtABatchWhenToldTo(t *testing.T) {
	t.Parallel()
	cmd := command(newPath(t), "import", "-")
	in, err := cmd.StdinPipe()
	harness.Must(t, err)
	var said harness.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	harness.Must(t, cmd.Start())
	for i := range 15_000 {
		io.WriteString(in, line(i))
	}
	harness.Must(t, cmd.Process.Signal(os.Interrupt))
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 4 || !strings.Contains(said.String(), "imported 10000 lines") || !strings.Contains(said.String(), "told to stop") ||
		!strings.Contains(said.String(), "The lines before 10001 are stored, none from there on. Run the whole import again to go on.") {
		t.Errorf("exit %d: %s", code, said.String())
	}
}

func TestImportFromAPipeThatNobodyWritesCanBeStopped(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	harness.Must(t, syscall.Mkfifo(fifo, 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	var stdout, stderr harness.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"import", fifo}, []string{"ACCOUNTSERVICE_STORE_BOLT_PATH=" + newPath(t)}, &stdout, &stderr)
	}()
	cancel() // while it waits, or before
	select {
	case got := <-code:
		if got != exitCutShort || !strings.Contains(stderr.String(), "told to stop before") {
			t.Errorf("exit %d: %s", got, stderr.String())
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it still waits for a writer")
	}
	// lets the goroutine go that waits in this process
	if w, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		w.Close()
	}
}

func TestImportedDatabaseIsServedWithoutFakes(t *testing.T) {
	t.Parallel()
	path, file := newPath(t), write(t, line(1)+"\n"+line(2))
	runs(t, command(path, "import", file)).is(t, 0, "imported 3 lines", "")
	runs(t, command(path, "import", zipped(t, file))).is(t, 0, "0 created, 0 replaced, 2 unchanged", "")
	bomb := zipped(t, write(t, strings.Repeat(strings.Repeat(" ", 200<<10)+line(1), 20)))
	runs(t, command(path, "import", bomb)).is(t, 1, "", "is gzip that expands more than 256 times")
	runs(t, command(path, "import", zipped(t, write(t, strings.Repeat("\n", 4<<20))))).is(t, 1, "", "bytes of empty lines")
	p := ready(t, path)
	if _, body := p.Get("/accounts:export"); body != line(1)+line(2) {
		t.Errorf("%s", body)
	}
	p.NeverLogged(t, "Seeded")
	for _, args := range [][]string{{"import", file}, {"import", "--dry-run", file}, {"export"}} {
		runs(t, command(path, args...)).is(t, 1, "", "another process has held it locked")
		runs(t, command(path, args...)).is(t, 1, "", "give its address with --url")
	}
}

// The folder of rescued copies is a setting of the store, also for commands.
func TestImportIntoALostDatabaseNamesItsRescuedCopies(t *testing.T) {
	t.Parallel()
	path, rescued := writtenLast(t, "mine"), t.TempDir()
	copied := filepath.Join(rescued, filepath.Base(path)+".rescued-20260102T030405Z")
	harness.Must(t, os.Rename(path, copied))
	runs(t, with(command(path, "import", write(t, line(1))), "ACCOUNTSERVICE_STORE_BOLT_RESCUE_DIR="+rescued)).is(t, 1, "", "a copy that was rescued ("+copied+")")
}

// holds wants that a file has this content.
func holds(t *testing.T, path, want string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("%s holds %.1000q, %v, want %.1000q", path, b, err, want)
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	return harness.File(t, "in.ndjson", content)
}

// zipped is a copy of the file in gzip.
func zipped(t *testing.T, file string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, harness.Read(t, file))
	harness.Must(t, err)
	harness.Must(t, z.Close())
	harness.Must(t, os.WriteFile(file+".gz", b.Bytes(), 0o600))
	return file + ".gz"
}

func TestFaultyLinesAreNamedAndStopAnImport(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	var b strings.Builder
	for i := range 12_000 {
		b.WriteString(line(i))
	}
	file := write(t, b.String()+"\n{\"id\":\"a\"}\n{\"id\":\"b\",\"name\":\"x\",\"nome\":\"hunter2\"}\n")
	r := runs(t, command(path, "import", "--dry-run", file))
	r.is(t, 1, "checked 12003 lines", file+":12002: #/name: must have 1 to 256 characters\n"+
		file+":12003: #/nome: is not a known member\n")
	absent(t, path)
	r = runs(t, command(path, "import", file))
	r.is(t, 1, "imported 10000 lines", file+":12002: #/name: ")
	r.is(t, 1, "", "The lines before 10001 are stored, none from there on.")
	if strings.Contains(r.Stderr, "hunter2") {
		t.Errorf("a value is repeated: %s", r.Stderr)
	}
	runs(t, command(path, "import", "--dry-run", file)).is(t, 1, "2000 would be created, 0 replaced, 10000 unchanged", ":12003: ")
	runs(t, command(path, "export")).is(t, 0, line(0), "exported 10000 accounts")
}

func TestBulkCommandsWithoutWhatTheyNeed(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none", "accounts.db")
	file, folder := write(t, line(1)), t.TempDir()
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no input":            {[]string{"import"}, 2, "name the file with the accounts, or - for standard input"},
		"missing input":       {[]string{"import", folder + "/none"}, 1, "no such file"},
		"a folder":            {[]string{"import", folder}, 1, "is a folder"},
		"no place to store":   {[]string{"import", file}, 1, "cannot create a file in its folder"},
		"no database":         {[]string{"export"}, 1, "no such file or directory; check store.bolt.path"},
		"bad address":         {[]string{"export", "--url", "ftp://u:hunter2@h"}, 2, "--url: must be the address of a service"},
		"bad address to fill": {[]string{"import", "--url", "localhost:6767", file}, 2, "--url: must be the address of a service"},
		"nobody there":        {[]string{"export", "--url", fmt.Sprint("http://u:hunter2@127.0.0.1:", harness.Port(t))}, 1, ": check the address, and that the service runs: connect: connection refused\n"},
	} {
		r := runs(t, command(none, c.args...))
		if r.is(t, c.code, "", c.want); strings.Contains(r.Stderr, "hunter2") {
			t.Errorf("%s: a password is shown: %s", name, r.Stderr)
		}
	}
	absent(t, filepath.Dir(none))
}

func TestExportFileAppearsWholeOrStaysAsItWas(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	runs(t, command(path, "import", write(t, line(1)))).is(t, 0, "1 created", "")
	folder := t.TempDir()
	out := filepath.Join(folder, "out.ndjson")
	harness.Must(t, os.WriteFile(out, []byte("old"), 0o600))
	runs(t, command(newPath(t), "export", "--output", out)).is(t, 1, "", "no such file")
	holds(t, out, "old")
	runs(t, command(path, "export", "--output", out)).is(t, 0, "", "exported 1 accounts")
	holds(t, out, line(1))
	for _, mode := range []fs.FileMode{0o644, 0o640, 0} { // of the file replaced, 0 for none
		if mode == 0 {
			mode = 0o600
			os.Remove(out)
		} else {
			harness.Must(t, os.Chmod(out, mode))
		}
		runs(t, command(path, "export", "--output", out)).is(t, 0, "", "exported 1 accounts")
		if info, err := os.Stat(out); err != nil || info.Mode() != mode {
			t.Errorf("%v, %v, want %s", info, err, mode)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	harness.Must(t, os.Symlink(out, link))
	for to, want := range map[string]string{link: "is no regular file", folder: "is no regular file", folder + "/none/x": "its folder can't be opened; is it there?"} {
		r := runs(t, command(path, "export", "--output", to))
		r.is(t, 1, "", want)
		r.is(t, 1, "", "accountservice export: --output "+to)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

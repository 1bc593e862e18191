package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bulk has the tests of a kill move a million accounts; else it is just enough
// for some batches before and after.
var bulk = os.Getenv("BULK_TEST") == "1"

func bulkSize() int {
	if bulk {
		return 1_000_000
	}
	return 20_000
}

// maxAnon bounds the memory of a process, mapped pages of files apart, in bytes.
const maxAnon = 256 << 20

func line(i int) string {
	at := time.Date(2026, 1, 2, 3, 4, 5, 1000*(i%1_000_000), time.UTC).Format(time.RFC3339Nano)
	return fmt.Sprintf(`{"id":"acc-%07d","name":"Person <%d> Ü","email":"p%d@example.org","labels":{"team":"t%d"},"version":%d,"created_at":"%s","updated_at":"%s"}`+"\n",
		i, i, i, i%97, i%9+1, at, at)
}

// accountsFile writes n accounts, out of order unless they are a million, and
// returns the hash of their export.
func accountsFile(t *testing.T, n int) (path string, hash []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "accounts.ndjson")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, sum := bufio.NewWriter(f), sha256.New()
	for i := range n {
		io.WriteString(sum, line(i))
		if !bulk {
			i = i * 7919 % n // a prime: each once
		}
		w.WriteString(line(i))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return path, sum.Sum(nil)
}

func hashOf(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	return sum.Sum(nil)
}

// command is accountservice with arguments, as a process, for the database at path.
func command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = []string{"ACCOUNTSERVICE_TEST_MAIN=1", "GORACE=atexit_sleep_ms=0", "ACCOUNTSERVICE_STORE_BOLT_PATH=" + path,
		"ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=300ms"}
	return cmd
}

// ran is what became of a command.
type ran struct {
	code           int
	stdout, stderr string
}

func runs(t *testing.T, cmd *exec.Cmd) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (r ran) is(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stdout, stdout) || !strings.Contains(r.stderr, stderr) {
		t.Errorf("exit %d, %q, %q; want %d, %q, %q", r.code, r.stdout, r.stderr, code, stdout, stderr)
	}
}

// watchMemory returns a function that says the most memory the process had,
// mapped pages of files apart, in bytes.
func watchMemory(t *testing.T, pid int) (most func() int) {
	peak, stop := make(chan int, 1), make(chan struct{})
	go func() {
		highest := 0
		for {
			highest = max(highest, anonOf(pid))
			select {
			case <-stop:
				peak <- highest
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() int { close(stop); return <-peak }
}

// anonOf is RssAnon of a process in bytes, 0 if it has ended.
func anonOf(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	rest, _, _ = strings.Cut(rest, "kB")
	kib, _ := strconv.Atoi(strings.TrimSpace(rest))
	return kib << 10
}

// killedMidway runs an import that reads most of the file from a pipe, and
// kills it then: something is stored, and not all.
func killedMidway(t *testing.T, cmd *exec.Cmd, file string, n int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	memory := watchMemory(t, cmd.Process.Pid)
	if _, err := io.CopyN(in, f, int64(n*3/4*len(line(0)))); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	if most := memory(); most > maxAnon {
		t.Errorf("the import took %d MiB", most>>20)
	} else {
		t.Logf("the import took %d MiB", most>>20)
	}
}

// resumed runs the import again, to its end, and wants that it found some.
func resumed(t *testing.T, cmd *exec.Cmd, n int) {
	t.Helper()
	begun := time.Now()
	r := runs(t, cmd)
	var lines, created, replaced, unchanged int
	var took string
	if _, err := fmt.Sscanf(r.stdout, "imported %d lines in %s %d created, %d replaced, %d unchanged", &lines, &took, &created, &replaced, &unchanged); err != nil {
		t.Fatalf("exit %d, %q, %q: %v", r.code, r.stdout, r.stderr, err)
	}
	if r.code != 0 || lines != n || created == 0 || unchanged == 0 || replaced != 0 || created+unchanged != n {
		t.Errorf("exit %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	t.Logf("resumed in %s: %s", time.Since(begun).Round(time.Millisecond), r.stdout)
}

func TestImportIntoAFileIsResumedAfterAKill(t *testing.T) {
	t.Parallel()
	n, path := bulkSize(), newPath(t)
	file, hash := accountsFile(t, n)
	killedMidway(t, command(path, "import", "-"), file, n)
	resumed(t, command(path, "import", file), n)
	if !bulk {
		runs(t, command(path, "import", file)).is(t, 0, fmt.Sprintf("0 created, 0 replaced, %d unchanged", n), "")
		runs(t, command(path, "verify", path)).is(t, 0, fmt.Sprintf("%d accounts (0 without checksum)", n), "")
	}
	out := filepath.Join(t.TempDir(), "out.ndjson")
	runs(t, command(path, "export", "--output", out)).is(t, 0, "", fmt.Sprintf("exported %d accounts", n))
	if !bytes.Equal(hashOf(t, out), hash) {
		t.Errorf("the export is not what was imported")
	}
}

func TestImportIntoAServiceIsResumedAfterAKill(t *testing.T) {
	t.Parallel()
	n := bulkSize()
	file, hash := accountsFile(t, n)
	port := "ACCOUNTSERVICE_HTTP_PORT=" + strconv.Itoa(freePort(t))
	p := start(t, newPath(t), "ACCOUNTSERVICE_STORE_SEED=0", port)
	p.url = "http://127.0.0.1:" + strings.TrimPrefix(port, "ACCOUNTSERVICE_HTTP_PORT=")
	p.await(t, "/ready", 200)
	memory := watchMemory(t, p.cmd.Process.Pid)
	killedMidway(t, command("", "import", "--url", p.url, "-"), file, n)
	resumed(t, command("", "import", "--url", p.url, file), n)
	out := filepath.Join(t.TempDir(), "out.ndjson")
	begun := time.Now()
	runs(t, command("", "export", "--url", p.url, "--output", out)).is(t, 0, "", fmt.Sprintf("exported %d accounts", n))
	t.Logf("exported in %s", time.Since(begun).Round(time.Millisecond))
	if !bytes.Equal(hashOf(t, out), hash) {
		t.Errorf("the export is not what was imported")
	}
	if most := memory(); most > maxAnon {
		t.Errorf("the service took %d MiB", most>>20)
	} else {
		t.Logf("the service took %d MiB", most>>20)
	}
	p.signal(t, syscall.SIGTERM)
	p.exits(t, 0)
}

func TestImportOutlivesTheServiceItWritesTo(t *testing.T) {
	t.Parallel()
	const n = 6000
	file, hash := accountsFile(t, n)
	port := freePort(t)
	env := []string{"ACCOUNTSERVICE_STORE_SEED=0", fmt.Sprint("ACCOUNTSERVICE_HTTP_PORT=", port)}
	path, url := newPath(t), fmt.Sprint("http://127.0.0.1:", port)
	p := start(t, path, env...)
	p.url = url
	p.await(t, "/ready", 200)

	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cmd := command("", "import", "--url", url, "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	if _, err := in.Write(content[:len(content)/2]); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGKILL)
	<-p.exited
	go func() { in.Write(content[len(content)/2:]); in.Close() }()
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(said.String(), "trying again") {
		if time.Now().After(deadline) {
			t.Fatalf("the import said %s", said.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
	p = start(t, path, env...)
	p.url = url
	if err := cmd.Wait(); err != nil || !strings.Contains(said.String(), fmt.Sprintf("imported %d lines", n)) {
		t.Errorf("%v: %s", err, said.String())
	}
	p.await(t, "/ready", 200)
	if r := runs(t, command("", "export", "--url", url)); r.code != 0 || sha256.Sum256([]byte(r.stdout)) != [32]byte(hash) {
		t.Errorf("exit %d, %s; the export is not what was imported", r.code, r.stderr)
	}
}

func TestImportStopsAtABatchWhenToldTo(t *testing.T) {
	t.Parallel()
	cmd := command(newPath(t), "import", "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for i := range 15_000 {
		io.WriteString(in, line(i))
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 4 || !strings.Contains(said.String(), "imported 10000 lines") || !strings.Contains(said.String(), "told to stop") ||
		!strings.Contains(said.String(), "The lines before 10001 are stored, none from there on. Run the whole import again to go on.") {
		t.Errorf("exit %d: %s", code, said.String())
	}
}

func TestImportedDatabaseIsServedWithoutFakes(t *testing.T) {
	t.Parallel()
	path, file := newPath(t), write(t, line(1)+"\n"+line(2))
	runs(t, command(path, "import", file)).is(t, 0, "imported 3 lines", "")
	p := start(t, path)
	p.await(t, "/ready", 200)
	if _, body := p.get("/accounts:export"); body != line(1)+line(2) {
		t.Errorf("%s", body)
	}
	if strings.Contains(p.log.String(), "Seeded") {
		t.Errorf("seeded: %s", p.log)
	}
	for _, args := range [][]string{{"import", file}, {"import", "--dry-run", file}, {"export"}} {
		runs(t, command(path, args...)).is(t, 1, "", "another process has held it locked")
		runs(t, command(path, args...)).is(t, 1, "", "give its address with --url")
	}
}

func write(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "in.ndjson")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
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
	r.is(t, 1, "would import 12003 lines", file+":12002: #/name: must have 1 to 256 characters\n"+file+":12003: #/nome: is not a member of an account\n")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dry run made a database: %v", err)
	}
	r = runs(t, command(path, "import", file))
	r.is(t, 1, "imported 10000 lines", file+":12002: #/name: ")
	r.is(t, 1, "", "The lines before 10001 are stored, none from there on.")
	if strings.Contains(r.stderr, "hunter2") {
		t.Errorf("a value is repeated: %s", r.stderr)
	}
	runs(t, command(path, "import", "--dry-run", file)).is(t, 1, "2000 created, 0 replaced, 10000 unchanged", ":12003: ")
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
		"no input":            {[]string{"import"}, 2, "accepts 1 arg"},
		"missing input":       {[]string{"import", folder + "/none"}, 1, "no such file"},
		"a folder":            {[]string{"import", folder}, 1, "is a folder"},
		"no place to store":   {[]string{"import", file}, 1, "cannot create a file in its folder"},
		"no database":         {[]string{"export"}, 1, "store.bolt.path: stat "},
		"bad address":         {[]string{"export", "--url", "ftp://u:hunter2@h"}, 2, "--url: must be the address of a service"},
		"bad address to fill": {[]string{"import", "--url", "localhost:6767", file}, 2, "--url: must be the address of a service"},
		"nobody there":        {[]string{"export", "--url", fmt.Sprint("http://u:hunter2@127.0.0.1:", freePort(t))}, 1, "connection refused"},
	} {
		r := runs(t, command(none, c.args...))
		if r.is(t, c.code, "", c.want); strings.Contains(r.stderr, "hunter2") {
			t.Errorf("%s: a password is shown: %s", name, r.stderr)
		}
	}
	if _, err := os.Stat(filepath.Dir(none)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder was made: %v", err)
	}
}

func TestExportFileAppearsWholeOrStaysAsItWas(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	runs(t, command(path, "import", write(t, line(1)))).is(t, 0, "1 created", "")
	folder := t.TempDir()
	out := filepath.Join(folder, "out.ndjson")
	if err := os.WriteFile(out, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	runs(t, command(newPath(t), "export", "--output", out)).is(t, 1, "", "no such file")
	if b, err := os.ReadFile(out); err != nil || string(b) != "old" {
		t.Errorf("%s, %v", b, err)
	}
	runs(t, command(path, "export", "--output", out)).is(t, 0, "", "exported 1 accounts")
	if b, err := os.ReadFile(out); err != nil || string(b) != line(1) {
		t.Errorf("%s, %v", b, err)
	}
	runs(t, command(path, "export", "--output", "/dev/null")).is(t, 1, "", "is no regular file")
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

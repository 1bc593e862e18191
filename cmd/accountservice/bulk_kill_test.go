package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// bulk has the tests of a kill move a million accounts; else it is just enough for some batches before and after.
var bulk = os.Getenv("BULK_TEST") == "1"

func bulkSize() int {
	if bulk {
		return 1_000_000
	}
	return 20_000
}

// maxAnon bounds the memory of a process, mapped pages of files apart, in bytes.
const maxAnon = 256 << 20

// accountsFile writes n accounts, out of order unless they are a million, and returns the hash of their export.
func accountsFile(t *testing.T, n int) (path string, hash []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "accounts.ndjson")
	f, err := os.Create(path)
	harness.Must(t, err)
	defer f.Close()
	w, sum := bufio.NewWriter(f), sha256.New()
	for i := range n {
		io.WriteString(sum, line(i))
		if !bulk {
			i = i * 7919 % n // a prime: each once
		}
		w.WriteString(line(i))
	}
	harness.Must(t, w.Flush())
	return path, sum.Sum(nil)
}

func hashOf(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	harness.Must(t, err)
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	return sum.Sum(nil)
}

// watchMemory returns a function that wants that the process never had more than maxAnon. One of which nothing could be
// read fails the test.
func watchMemory(t *testing.T, pid int) (bounded func(who string)) {
	peak := peakMemory(pid)
	return func(who string) {
		t.Helper()
		most := peak()
		t.Logf("%s took %d MiB", who, most>>20)
		if most == 0 || most > maxAnon {
			t.Errorf("%s took %d bytes, want at most %d, and above 0", who, most, maxAnon)
		}
	}
}

// killedMidway runs an import that reads most of the file from a pipe, and kills it then: something is stored, and not
// all.
func killedMidway(t *testing.T, cmd *exec.Cmd, file string, n int) {
	t.Helper()
	f, err := os.Open(file)
	harness.Must(t, err)
	defer f.Close()
	in, err := cmd.StdinPipe()
	harness.Must(t, err)
	cmd.Stderr = os.Stderr
	harness.Must(t, cmd.Start())
	memory := watchMemory(t, cmd.Process.Pid)
	if _, err := io.CopyN(in, f, int64(n*3/4*len(line(0)))); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	memory("the import")
}

// resumed runs the import again, to its end, and wants that it found some.
func resumed(t *testing.T, cmd *exec.Cmd, n int) {
	t.Helper()
	begun := time.Now()
	r := runs(t, cmd)
	var lines, created, replaced, unchanged int
	var took string
	if _, err := fmt.Sscanf(r.Stdout, "imported %d lines in %s %d created, %d replaced, %d unchanged", &lines, &took, &created, &replaced, &unchanged); err != nil {
		t.Fatalf("exit %d, %q, %q: %v", r.Code, r.Stdout, r.Stderr, err)
	}
	if r.Code != 0 || lines != n || created == 0 || unchanged == 0 || replaced != 0 || created+unchanged != n {
		t.Errorf("exit %d, %q, %q", r.Code, r.Stdout, r.Stderr)
	}
	t.Logf("resumed in %s: %s", time.Since(begun).Round(time.Millisecond), r.Stdout)
}

func TestImportIsResumedAfterAKill(t *testing.T) {
	n := bulkSize()
	t.Run("into a file", func(t *testing.T) {
		t.Parallel()
		path := newPath(t)
		file := importedInTwoRuns(t, path, nil, n)
		if !bulk {
			runs(t, command(path, "import", file)).is(t, 0, fmt.Sprintf("0 created, 0 replaced, %d unchanged", n), "")
			runs(t, command(path, "verify", path)).is(t, 0, fmt.Sprintf("%d accounts (0 without checksum)", n), "")
		}
	})
	t.Run("into a service", func(t *testing.T) {
		t.Parallel()
		p := ready(t, newPath(t), "ACCOUNTSERVICE_STORE_SEED=0")
		memory := watchMemory(t, p.Cmd.Process.Pid)
		importedInTwoRuns(t, "", []string{"--url", p.URL}, n)
		memory("the service")
		p.Stop(t, 0)
	})
}

// importedInTwoRuns kills an import, resumes it, and wants that an export is what the file has, which it returns. url
// is the flag for a service.
func importedInTwoRuns(t *testing.T, path string, url []string, n int) (file string) {
	t.Helper()
	file, hash := accountsFile(t, n)
	of := func(args ...string) *exec.Cmd { return command(path, append(args, url...)...) }
	killedMidway(t, of("import", "-"), file, n)
	resumed(t, of("import", file), n)
	out, begun := filepath.Join(t.TempDir(), "out.ndjson"), time.Now()
	runs(t, of("export", "--output", out)).is(t, 0, "", fmt.Sprintf("exported %d accounts", n))
	t.Logf("exported in %s", time.Since(begun).Round(time.Millisecond))
	if !bytes.Equal(hashOf(t, out), hash) {
		t.Errorf("the export is not what was imported")
	}
	return file
}

func TestImportOutlivesTheServiceItWritesTo(t *testing.T) {
	t.Parallel()
	const n = 6000
	file, hash := accountsFile(t, n)
	path := newPath(t)
	p := ready(t, path, "ACCOUNTSERVICE_STORE_SEED=0")
	url := p.URL
	content := []byte(harness.Read(t, file))
	cmd := command("", "import", "--url", url, "-")
	in, err := cmd.StdinPipe()
	harness.Must(t, err)
	var said harness.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	harness.Must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	if _, err := in.Write(content[:len(content)/2]); err != nil {
		t.Fatal(err)
	}
	p.Kill(t)
	go func() { in.Write(content[len(content)/2:]); in.Close() }()
	if !harness.Until(20*time.Second, func() bool { return strings.Contains(said.String(), "trying again") }) {
		t.Fatalf("the import said %s", &said)
	}
	p = start(t, path, "ACCOUNTSERVICE_STORE_SEED=0", fmt.Sprint("ACCOUNTSERVICE_HTTP_PORT=", p.Port)) // where it was
	p.URL = url
	if err := cmd.Wait(); err != nil || !strings.Contains(said.String(), fmt.Sprintf("imported %d lines", n)) {
		t.Errorf("%v: %s", err, said.String())
	}
	p.Await(t, "/ready", 200)
	if r := runs(t, command("", "export", "--url", url)); r.Code != 0 || sha256.Sum256([]byte(r.Stdout)) != [32]byte(hash) {
		t.Errorf("exit %d, %s; the export is not what was imported", r.Code, r.Stderr)
	}
}

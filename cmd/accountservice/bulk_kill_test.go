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

// watchMemory returns a function that says the most memory the process had,
// mapped pages of files apart, in bytes. One of which nothing could be read
// fails the test.
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
	return func() int {
		close(stop)
		most := <-peak
		if most == 0 {
			t.Error("no RssAnon could be read: the memory is not bounded by this test")
		}
		return most
	}
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

// Package clients makes clients of the service's OpenAPI document with two generators and uses the service by them. It
// is a module of its own: the service needs neither generator.
package clients

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// run runs a command and returns its output; it fails the test with the command.
func run(t *testing.T, folder, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// serve starts the service with a new database and returns its URL.
func serve(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	run(t, "../..", "go", "build", "-o", filepath.Join(folder, "accountservice"), "./cmd/accountservice")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.CommandContext(t.Context(), filepath.Join(folder, "accountservice"))
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), fmt.Sprint("ACCOUNTSERVICE_HTTP_PORT=", port), "ACCOUNTSERVICE_ADMIN_ADDR=off")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	url := fmt.Sprint("http://127.0.0.1:", port)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.Tick(100 * time.Millisecond); ; {
		if resp, err := http.Get(url + "/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return url
			}
		}
		select {
		case <-tick:
		case <-ctx.Done():
			t.Fatal("the service is not ready after a minute")
		}
	}
}

func TestGeneratedClientsUseTheService(t *testing.T) {
	url := serve(t)
	resp, err := http.Get(url + "/openapi-3.0.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the document: %d %v", resp.StatusCode, err)
	}
	document := filepath.Join(t.TempDir(), "openapi.json")
	if err := os.WriteFile(document, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"oapi", "ogenapi"} { // what an older document left
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, ".", "go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "oapi", "-o", "oapi/oapi.gen.go", document)
	run(t, ".", "go", "tool", "ogen", "--target", "ogenapi", "--package", "ogenapi", document)
	for _, client := range []string{"./useoapi", "./useogen"} {
		t.Log(run(t, ".", "go", "run", client, url))
	}
}

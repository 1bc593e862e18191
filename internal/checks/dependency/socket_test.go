package dependency

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"accountservice/tests/harness"
)

func TestAServiceOnAUnixSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", file)
	harness.Must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })}
	go server.Serve(l)
	defer server.Close()
	run := runs(t, "http://users.test/?expect_body=users.test&socket="+file, ample)
	for range 2 {
		says(t, run(), "")
	}
	server.Close()
	says(t, run(), "connect: "+file+": no such file or directory")
}

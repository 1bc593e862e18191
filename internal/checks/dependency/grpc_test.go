package dependency

import (
	"crypto/tls"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// newGRPCServer answers every call with what answer gives.
func newGRPCServer(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestGRPCAnswers(t *testing.T) {
	for name, c := range map[string]struct{ message, status, want string }{
		"serving":                  {"\x00\x00\x00\x00\x02\x08\x01", "0", ""},
		"not serving":              {"\x00\x00\x00\x00\x02\x08\x02", "0", "answer: it says NOT_SERVING"},
		"unknown":                  {"\x00\x00\x00\x00\x02\x08\x00", "0", "answer: it says that its status is unknown"},
		"empty":                    {"\x00\x00\x00\x00\x00", "0", "answer: it says that its status is unknown"},
		"no message":               {"", "0", "answer: it is not gRPC"},
		"cut message":              {"\x00\x00\x00\x00\x04\x08\x01", "0", "answer: it is not gRPC"},
		"compressed":               {"\x01\x00\x00\x00\x02\x08\x01", "0", "answer: it is not gRPC"},
		"another message":          {"\x00\x00\x00\x00\x02\x12\x01", "0", "answer: it is not gRPC"},
		"no such service":          {"", "5", "answer: it answers NOT_FOUND: it knows no such service"},
		"no health service":        {"", "12", "answer: it answers UNIMPLEMENTED: it has no health service"},
		"refused":                  {"", "16", "answer: it answers UNAUTHENTICATED"},
		"another code":             {"", "17", "answer: it answers status 17"},
		"no code":                  {"\x00\x00\x00\x00\x02\x08\x01", "hunter2", "answer: it is not gRPC"},
		"an answer without an end": {strings.Repeat("x", maxAnswer+1), "0", "answer: its answer is longer than 64 KiB"},
		"serving, and no status":   {"\x00\x00\x00\x00\x02\x08\x01", "", "answer: it is not gRPC"},
		"two statuses":             {"\x00\x00\x00\x00\x04\x08\x02\x08\x01", "0", "answer: it is not gRPC"},
	} {
		addr := newGRPCServer(t, func(w http.ResponseWriter, r *http.Request) {
			question, _ := io.ReadAll(r.Body)
			if got := hex.EncodeToString(question); got != "00000000070a0575736572"+"73" || r.URL.Path != "/grpc.health.v1.Health/Check" || r.Header.Get("Te") != "trailers" || r.Header.Get("Grpc-Timeout") == "" {
				t.Errorf("asked %s %s %v", r.URL.Path, got, r.Header)
			}
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
			io.WriteString(w, c.message)
			w.Header().Set("Grpc-Message", "hunter2")
			if c.status != "" {
				w.Header().Set("Grpc-Status", c.status)
			}
		})
		t.Run(name, func(t *testing.T) { says(t, ask(t, "grpc://"+addr+"?service=users", ample), c.want) })
	}
}

func TestGRPCOfAWebServerIsNone(t *testing.T) {
	addr := newGRPCServer(t, http.NotFound)
	says(t, ask(t, "grpc://"+addr, ample), "answer: it answers 404 Not Found, and no gRPC")
	addr = newGRPCServer(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	says(t, ask(t, "grpc://"+addr, ample), "answer: it is not gRPC")
}

// newH2Server is a health service over HTTP/2, without TLS if config is nil.
func newH2Server(t *testing.T, config *tls.Config) (addr string) {
	t.Helper()
	answer := func(w http.ResponseWriter, _ *http.Request) { answerServing(w) }
	if config == nil {
		return newGRPCServer(t, answer)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(answer))
	server.TLS = config
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://")
}

// answerServing answers SERVING.
func answerServing(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	io.WriteString(w, "\x00\x00\x00\x00\x02\x08\x01")
	w.Header().Set("Grpc-Status", "0")
}

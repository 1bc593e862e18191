package harness

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

func TestAnswersAreReadToTheirEnd(t *testing.T) {
	addr := Serve(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		for _, answer := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
			"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
			"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nRetry-After: 1\r\n\r\n"} {
			if _, err := http.ReadRequest(in); err == nil {
				io.WriteString(c, answer)
			}
		}
	})
	a := Asker{Addr: addr.String()}
	defer a.Close()
	for _, want := range []int{200, 201, 503} {
		if status, after, err := a.Ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n"); status != want || after != (want == 503) || err != nil {
			t.Errorf("status %d, %t, %v; want %d", status, after, err, want)
		}
	}
	if _, _, err := a.Ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err == nil {
		t.Error("an answer after the last one")
	}
}

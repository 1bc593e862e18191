package dependency

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
)

// So does Exim, by smtp_accept_max_nonmail.
func TestAMailServerThatTakesTenCommandsWithoutAMailIsWell(t *testing.T) {
	p := newPeer(t, func(c net.Conn, _ int) {
		io.WriteString(c, "220 mail.test ESMTP\r\n")
		asked := 0
		for lines := bufio.NewScanner(c); lines.Scan(); {
			switch word, _, _ := strings.Cut(lines.Text(), " "); word {
			case "NOOP":
				if asked++; asked > 10 {
					io.WriteString(c, "554 Too many nonmail commands\r\n")
					c.Close()
					return
				}
			case "QUIT":
				io.WriteString(c, "221 mail.test\r\n")
				return
			}
			io.WriteString(c, "250 OK\r\n")
		}
	})
	run := runs(t, "smtp://"+p.Addr().String(), ample)
	for range 32 {
		says(t, run(), "")
	}
	if _, _, total := p.counted(); total != 4 {
		t.Errorf("%d connections for 32 runs, want 4", total)
	}
}

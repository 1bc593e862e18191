package dependency

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
)

// So are Mosquitto 2.0.12 and 2.0.13, and later ones with max_keepalive.
func TestABrokerThatRefusesClientsWithoutAKeepAliveIsWell(t *testing.T) {
	p := newPeer(t, func(c net.Conn, _ int) {
		var hello [14]byte
		if _, err := io.ReadFull(c, hello[:]); err != nil {
			return
		}
		if seconds := binary.BigEndian.Uint16(hello[10:]); seconds == 0 || seconds > 60 {
			io.WriteString(c, "\x20\x02\x00\x02")
			return
		}
		io.WriteString(c, "\x20\x02\x00\x00")
		for ping := make([]byte, 2); ; {
			if _, err := io.ReadFull(c, ping); err != nil || ping[0] != 0xc0 {
				return
			}
			io.WriteString(c, "\xd0\x00")
		}
	})
	run := runs(t, "mqtt://"+p.Addr().String(), ample)
	for range 2 {
		says(t, run(), "")
	}
}

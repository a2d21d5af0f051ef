package listen

import (
	"log/slog"
	"net"
)

// wantedBuffer is what QUIC needs for full speed. With less, packets of a fast sender are dropped and resent.
const wantedBuffer = 7 << 20

// widen sets the buffer of a UDP socket to the wanted size, or the maximum that the system allows, which it logs.
// It returns the size, or 0 if the system does not report it.
func widen(udp net.PacketConn, wanted int, log *slog.Logger) int {
	c, is := udp.(*net.UDPConn)
	if !is {
		return 0
	}
	_ = c.SetReadBuffer(wanted) // the result is checked below
	size := receiveBuffer(c, wanted)
	if size > 0 && size < wanted {
		log.Info("the UDP buffer is limited by the system, HTTP/3 may be slower", "bytes", size, "wanted", wanted)
	}
	return size
}

package server

import (
	"log/slog"
	"net"
)

// wantedBuffer is what QUIC needs for full speed: with less, packets of a fast sender are dropped and sent again.
const wantedBuffer = 7 << 20

// widen makes the buffer of a UDP socket as large as wanted, or as large as the system allows, and logs that it
// is smaller. It returns its size, 0 where the system does not tell.
func widen(udp net.PacketConn, wanted int, log *slog.Logger) int {
	c, is := udp.(*net.UDPConn)
	if !is {
		return 0
	}
	_ = c.SetReadBuffer(wanted) // what the system does not allow is seen below
	size := receiveBuffer(c, wanted)
	if size > 0 && size < wanted {
		log.Info("the UDP buffer is limited by the system, HTTP/3 may be slower", "bytes", size, "wanted", wanted)
	}
	return size
}

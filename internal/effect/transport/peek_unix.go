//go:build unix

package transport

import (
	"net"
	"syscall"
)

// peek asks the system whether a connection is open and has nothing to read. known is false if it cannot be asked.
func peek(c net.Conn) (quiet, known bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false, false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false, true
	}
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK || err == syscall.EINTR
	})
	return quiet && err == nil, true
}

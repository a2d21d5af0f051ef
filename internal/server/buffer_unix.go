//go:build unix

package server

import (
	"net"
	"runtime"
	"syscall"
)

// receiveBuffer asks for a larger buffer than others may have, which Linux grants to root, and returns the size of
// the one that the socket has, 0 where it is not known.
func receiveBuffer(c *net.UDPConn, wanted int) (size int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		const force = 33 // SO_RCVBUFFORCE
		if runtime.GOOS == "linux" {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, force, wanted)
		}
		if n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF); err == nil {
			size = n
		}
	})
	return size
}

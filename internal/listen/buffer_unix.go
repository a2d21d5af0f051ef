//go:build unix

package listen

import (
	"net"
	"runtime"
	"syscall"
)

// receiveBuffer tries to exceed the limit of the system, which Linux allows root, and returns the size of the
// buffer, or 0 if it is unknown.
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

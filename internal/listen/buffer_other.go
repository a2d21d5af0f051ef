//go:build !unix

package listen

import "net"

// receiveBuffer returns 0: the size is unknown.
func receiveBuffer(*net.UDPConn, int) int { return 0 }

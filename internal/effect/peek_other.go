//go:build !unix

package effect

import "net"

func peek(net.Conn) (quiet, known bool) { return false, false }

//go:build !linux

package postgres

import "syscall"

// control does nothing: other systems have limits of their own.
func control(string, string, syscall.RawConn) error { return nil }

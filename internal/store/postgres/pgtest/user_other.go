//go:build !linux

package pgtest

import "syscall"

// Servers run as the user of the tests.
func unprivileged(bool) *syscall.SysProcAttr { return nil }

func own(string) error { return nil }

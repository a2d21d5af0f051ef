//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package pebble

import "github.com/cockroachdb/pebble/v2/vfs"

// hold does nothing: this system has no such locks.
func hold(vfs.File) error { return nil }

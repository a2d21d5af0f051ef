//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pebble

import (
	"errors"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// hold locks an open directory until it is closed. It returns [syscall.EWOULDBLOCK] if another process has locked it,
// and nil if the file system does not support such locks.
func hold(d vfs.File) error {
	fd := d.Fd()
	if fd == vfs.InvalidFd {
		return nil // in memory
	}
	for {
		switch err := syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB); {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return err
		default: // some network file systems cannot lock directories
			return nil
		}
	}
}

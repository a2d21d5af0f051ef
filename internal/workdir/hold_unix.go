//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package workdir

import (
	"errors"
	"os"
	"syscall"
)

// hold locks a file until it is closed. It returns nil if the file system has no locks.
func hold(f *os.File) error {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return err
		default:
			return nil
		}
	}
}

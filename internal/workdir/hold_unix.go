//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package workdir

import (
	"errors"
	"os"
	"syscall"
)

// hold locks a file until it is closed. It returns false and no error if the file system has no locks.
func hold(f *os.File) (sure bool, err error) {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, err
		default:
			return err == nil, nil
		}
	}
}

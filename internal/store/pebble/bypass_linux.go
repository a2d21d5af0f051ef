package pebble

import "golang.org/x/sys/unix"

// bypass has writes of a file go past the system's cache, or not. It tells whether that was done.
func bypass(fd uintptr, on bool) bool {
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	if err != nil {
		return false
	}
	flags &^= unix.O_DIRECT
	if on {
		flags |= unix.O_DIRECT
	}
	_, err = unix.FcntlInt(fd, unix.F_SETFL, flags)
	return err == nil
}

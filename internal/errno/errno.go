// Package errno tells what an error of the operating system means. It hides that systems number their errors
// differently: on Windows the names of package syscall that are known from Unix are numbers that the system
// never returns.
package errno

import (
	"errors"
	"runtime"
	"slices"
	"syscall"
)

// kind has the numbers of errors that mean the same.
type kind struct{ unix, windows []syscall.Errno }

// https://learn.microsoft.com/windows/win32/debug/system-error-codes
var (
	full     = kind{[]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}, []syscall.Errno{39, 112, 1295}} // HANDLE_DISK_FULL, DISK_FULL, DISK_QUOTA_EXCEEDED
	inUse    = kind{[]syscall.Errno{syscall.EADDRINUSE}, []syscall.Errno{10048, 10013}}              // WSAEADDRINUSE, and WSAEACCES for a port that another process has alone
	notLocal = kind{[]syscall.Errno{syscall.EADDRNOTAVAIL}, []syscall.Errno{10049}}                  // WSAEADDRNOTAVAIL
	locked   = kind{[]syscall.Errno{syscall.EAGAIN, syscall.EWOULDBLOCK}, []syscall.Errno{32, 33}}   // SHARING_VIOLATION, LOCK_VIOLATION
	readOnly = kind{[]syscall.Errno{syscall.EROFS}, []syscall.Errno{19}}                             // WRITE_PROTECT
)

func (k kind) is(err error, system string) bool {
	numbers := k.unix
	if system == "windows" {
		numbers = slices.Concat(numbers, k.windows)
	}
	return slices.ContainsFunc(numbers, func(e syscall.Errno) bool { return errors.Is(err, e) })
}

// Full reports whether a disk, or the user's share of it, has no space left.
func Full(err error) bool { return full.is(err, runtime.GOOS) }

// AddressInUse reports whether another process listens at an address.
func AddressInUse(err error) bool { return inUse.is(err, runtime.GOOS) }

// NotLocal reports whether an address to listen at is not one of this machine.
func NotLocal(err error) bool { return notLocal.is(err, runtime.GOOS) }

// Locked reports whether another process has locked a file.
func Locked(err error) bool { return locked.is(err, runtime.GOOS) }

// ReadOnly reports whether a file system cannot be written.
func ReadOnly(err error) bool { return readOnly.is(err, runtime.GOOS) }

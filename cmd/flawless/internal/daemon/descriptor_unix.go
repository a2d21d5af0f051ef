//go:build unix

package daemon

import (
	"math"
	"syscall"
)

// openFiles raises the limit of open files of this process to the maximum and returns it. It returns 0 if there
// is no limit.
func openFiles() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	if l.Cur < l.Max {
		if more := (syscall.Rlimit{Cur: l.Max, Max: l.Max}); syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) == nil {
			l = more
		}
	}
	if uint64(l.Cur) > math.MaxInt32 {
		return 0
	}
	return int(l.Cur)
}

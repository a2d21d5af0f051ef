//go:build !linux && !windows

package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot returns the time on the monotonic clock. On macOS it goes on while the machine sleeps.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("cluster: the system has no CLOCK_MONOTONIC, which POSIX demands: " + err.Error())
	}
	return time.Duration(t.Nano())
}

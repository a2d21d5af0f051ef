package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot returns the time since the machine started, sleep included. Nobody can set this clock.
// https://man7.org/linux/man-pages/man2/clock_gettime.2.html (CLOCK_BOOTTIME)
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("cluster: the system has no CLOCK_BOOTTIME, which Linux has since 2.6.39: " + err.Error())
	}
	return time.Duration(t.Nano())
}

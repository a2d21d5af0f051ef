//go:build !go1.27

package turn

// idleFD becomes readable when nothing is left to do in the turn. In these releases of Go, that is when the scheduler
// polls without waiting and has not read the clock: only timers can be left then, and creating one reads the clock.
// Before you raise the version in the build tag, check that this holds for the new release.
const idleFD = 999_998

// restsEarly says that a turn may end without the scheduler, for the same reason.
const restsEarly = true

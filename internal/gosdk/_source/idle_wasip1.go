//go:build !go1.27

package flawless

// idleFD is readable when the turn is over, and that is when the scheduler of these releases of Go looks at
// the network without waiting, while it has read no clock: nothing else is left for it then but timers, and
// nobody makes one without reading a clock. Of another release somebody has to find out first.
const idleFD = 999_998

// restsEarly says that a turn may be ended without the scheduler, for the same reason.
const restsEarly = true

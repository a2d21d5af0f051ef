//go:build go1.27

package flawless

// idleFD is readable when the turn is over.
const idleFD = 999_999

// restsEarly says that a turn may be ended without the scheduler.
const restsEarly = false

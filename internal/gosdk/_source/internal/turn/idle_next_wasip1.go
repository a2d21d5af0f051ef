//go:build go1.27

package turn

// idleFD becomes readable when nothing is left to do in the turn.
const idleFD = 999_999

// restsEarly says that a turn may end without the scheduler.
const restsEarly = false

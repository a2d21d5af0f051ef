package flawless

// The time zones are part of the module, so that time.LoadLocation works, and gives in a replay what it gave
// before, whichever server that is on.
import _ "time/tzdata"

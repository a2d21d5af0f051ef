package flawless

import "errors"

// Code is a class of errors. It is itself an error: wrap it with %w, test for it with errors.Is.
// The text before it says what was being done, what was wrong and what to do about it.
type Code string

// The classes of errors that leave the engine, a store or a guest. The HTTP API maps each to a
// status, the command line to an exit code.
const (
	NotFound Code = "not found" // no such module, workflow, run, call
	Invalid  Code = "invalid"   // the request cannot be understood or does not fit a schema
	Conflict Code = "conflict"  // the thing exists already, or is not in a state that allows this
	Refused  Code = "refused"   // a module the engine will not run
	TooLarge Code = "too large" // above a limit
	Full     Code = "disk full" // no new work is taken until there is space
	Stopping Code = "stopping"  // the server is going down; ask again later
	Fenced   Code = "fenced"    // another owner has taken over, or a key is not as expected
	Damaged  Code = "damaged"   // stored bytes do not decode or fail their checksum
	Diverged Code = "diverged"  // a replay asked for something else than the log says
	Denied   Code = "denied"    // the server does not let the request in: its token, its origin, or the name of the server in it
)

var codes = []Code{NotFound, Invalid, Conflict, Refused, TooLarge, Full, Stopping, Fenced, Damaged, Diverged, Denied}

func (c Code) Error() string { return string(c) }

// CodeOf returns the class of err, or "" when it has none.
func CodeOf(err error) Code {
	for _, c := range codes {
		if errors.Is(err, c) {
			return c
		}
	}
	return ""
}

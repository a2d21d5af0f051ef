package flawless

import "errors"

// Code is a class of errors. It is itself an error: wrap it with %w, and test for it with errors.Is. The text before
// it says what failed, why, and what to do about it.
type Code string

// The classes of errors that leave the engine, a store or a guest. The HTTP API maps each to a status, the command
// line to an exit code.
const (
	NotFound Code = "not found" // there is no such module, workflow, run or call
	Invalid  Code = "invalid"   // the request is malformed or does not fit a schema
	Conflict Code = "conflict"  // the object already exists, or its state does not allow this
	Refused  Code = "refused"   // the engine does not run this module
	TooLarge Code = "too large" // a limit is exceeded
	Full     Code = "disk full" // no new work is accepted until there is space
	Stopping Code = "stopping"  // the server is shutting down; try again later
	Fenced   Code = "fenced"    // another owner has taken over, or a key has changed
	// Elsewhere says that another server owns what the request is for. Send the request to that server, or again.
	Elsewhere Code = "elsewhere"
	Damaged   Code = "damaged"  // stored bytes do not decode or fail their checksum
	Diverged  Code = "diverged" // a replay made calls that differ from the log
	// Lost says that it is unknown whether a request was carried out.
	Lost   Code = "the answer was lost"
	Denied Code = "denied" // access denied because of the token, the origin or the server name of the request
)

var codes = []Code{NotFound, Invalid, Conflict, Refused, TooLarge, Full, Stopping, Elsewhere, Fenced, Damaged, Diverged, Lost, Denied}

func (c Code) Error() string { return string(c) }

// CodeOf returns the class of err, or "" if it has none.
func CodeOf(err error) Code {
	for _, c := range codes {
		if errors.Is(err, c) {
			return c
		}
	}
	return ""
}

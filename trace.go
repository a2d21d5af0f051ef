package flawless

import (
	"strconv"
	"strings"
)

// Trace is the path of a run through its code, obtained by a replay. Nothing of it is recorded while the run
// executes.
type Trace struct {
	Run    string       `json:"run"`
	Digest string       `json:"digest"` // of the module
	Turns  []TracedTurn `json:"turns"`
	// Divergence is set if the replay stopped because the calls of the code differ from the log.
	Divergence *Divergence `json:"divergence,omitempty"`
}

// TracedTurn is the path of a run in one turn.
type TracedTurn struct {
	N     int          `json:"n"`
	Time  int64        `json:"time"`            // Unix nanoseconds
	Cost  uint64       `json:"cost"`            // metered units of the turn
	Other uint64       `json:"other,omitempty"` // of these, units of functions that are not shown and have no shown caller
	Roots []*Frame     `json:"roots,omitempty"`
	Calls []TracedCall `json:"calls,omitempty"`
}

// Frame is a function called from one place, and the functions that it called.
type Frame struct {
	Func  string   `json:"func"`
	Site  Site     `json:"site,omitzero"` // position of the function
	From  Site     `json:"from,omitzero"` // position of the call
	Count int      `json:"count"`         // number of calls; 0 if it continued from an earlier turn
	Self  uint64   `json:"self"`          // metered units, without called functions
	Total uint64   `json:"total"`         // metered units, including called functions
	Calls []*Frame `json:"calls,omitempty"`
}

// Site is a position in a source file.
type Site struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// ParseSite reads file:line. It returns the zero Site for anything else.
func ParseSite(text string) Site {
	at := strings.LastIndexByte(text, ':')
	if at <= 0 {
		return Site{}
	}
	n, err := strconv.Atoi(text[at+1:])
	if err != nil || n <= 0 {
		return Site{}
	}
	return Site{File: text[:at], Line: n}
}

// TracedCall is a call to the outside with the stack of the guest when it made the call.
type TracedCall struct {
	N     int          `json:"n"`
	Stack []StackFrame `json:"stack"` // innermost first
}

// StackFrame is a function on the stack of a guest, and the current position in it.
type StackFrame struct {
	Func string `json:"func"`
	Site Site   `json:"site,omitzero"`
}

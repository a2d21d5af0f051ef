package flawless

// Trace is the path that a run went through its code, from a replay. Nothing of it is recorded
// while a run runs.
type Trace struct {
	Run    string       `json:"run"`
	Digest string       `json:"digest"` // of the module
	Turns  []TracedTurn `json:"turns"`
	// Divergence is set where the replay went no further, because the code asked for something else
	// than the log says.
	Divergence *Divergence `json:"divergence,omitempty"`
}

// TracedTurn is what a run went through in one turn.
type TracedTurn struct {
	N     int          `json:"n"`
	Time  int64        `json:"time"`            // Unix nanoseconds
	Cost  uint64       `json:"cost"`            // metered units of the turn
	Other uint64       `json:"other,omitempty"` // of these, in functions that are not shown and have no caller that is
	Roots []*Frame     `json:"roots,omitempty"`
	Calls []TracedCall `json:"calls,omitempty"`
}

// Frame is a function that was called from one place, and what it called.
type Frame struct {
	Func  string   `json:"func"`
	Site  Site     `json:"site,omitzero"` // where the function is
	From  Site     `json:"from,omitzero"` // where it was called
	Count int      `json:"count"`         // calls; 0 where it went on from a turn before
	Self  uint64   `json:"self"`          // metered units, without what it called
	Total uint64   `json:"total"`         // with it
	Calls []*Frame `json:"calls,omitempty"`
}

// Site is a place in a source file.
type Site struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// TracedCall is a call to the outside, and where the guest was when it made it.
type TracedCall struct {
	N     int          `json:"n"`
	Stack []StackFrame `json:"stack"` // innermost first
}

// StackFrame is a function on the stack of a guest, and where in it the guest is.
type StackFrame struct {
	Func string `json:"func"`
	Site Site   `json:"site,omitzero"`
}

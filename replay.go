package flawless

import (
	"fmt"
	"time"
)

// Replay is the result of replaying the log of a run.
type Replay struct {
	Run      string `json:"run"`
	Module   string `json:"module"`
	Workflow string `json:"workflow"`
	Digest   string `json:"digest"` // of the module it was replayed against
	Own      bool   `json:"own"`    // it is the run's own module
	Turns    int    `json:"turns"`  // turns that match the log
	Of       int    `json:"of"`     // turns in the replayed part of the log
	Calls    int    `json:"calls"`
	Cost     uint64 `json:"cost"` // metered units

	Took   time.Duration `json:"took_ns"`
	Memory int64         `json:"memory"`         // bytes of the guest's memory after the last turn
	Hash   string        `json:"hash,omitempty"` // of the guest after the last turn; the same in every replay on every machine
	Wake   int64         `json:"wake,omitempty"` // next timer of the guest after the last turn: Unix nanoseconds, 0 means none

	// Lines are those that the code printed in this replay but not in the same turn of the log, for instance because
	// you added them for debugging. More counts those that are left out.
	Lines []ReplayedLine `json:"lines,omitempty"`
	More  int            `json:"more_lines,omitempty"`

	Divergence *Divergence `json:"divergence,omitempty"`
}

// ReplayedLine is a line that the code printed in a replay.
type ReplayedLine struct {
	Turn int `json:"turn"`
	Line
}

// Divergence says where the calls of a replay differ from the log. It is an error that wraps [Diverged].
type Divergence struct {
	Run  string `json:"run"`
	Turn int    `json:"turn"`
	Call int    `json:"call,omitempty"` // the first call that differs; 0 if the ends differ

	Logged *Call `json:"logged,omitempty"` // nil if the log has no such call
	Asked  *Call `json:"asked,omitempty"`  // with the same number; nil if the code makes no such call

	LoggedEnd *Ended `json:"logged_end,omitempty"` // set if the logged run ended in this turn
	AskedEnd  *Ended `json:"asked_end,omitempty"`  // set if the code ended in this turn

	LoggedSite string `json:"logged_at,omitempty"` // call sites, file:line
	AskedSite  string `json:"asked_at,omitempty"`

	// LoggedLines and AskedLines are the lines of source that led to the calls, from the workflow to the call site, if the module of
	// that side has its source.
	LoggedLines []SourceLine `json:"logged_lines,omitempty"`
	AskedLines  []SourceLine `json:"asked_lines,omitempty"`
}

// SourceLine is a line of the source in a module.
type SourceLine struct {
	Site string `json:"at"`   // file:line
	Text string `json:"text"` // without the space around it
}

func (d *Divergence) Error() string {
	at := ""
	if d.Call > 0 {
		at = fmt.Sprintf(" at call %d", d.Call)
	}
	if d.Logged != nil && d.Asked != nil {
		if u := d.Logged.Mismatches(*d.Asked); len(u) > 0 {
			at += " (" + u[0].Field + ")"
		}
	}
	return fmt.Sprintf("the replay of run %s diverged in turn %d%s: logged %s, asked %s", d.Run, d.Turn, at,
		d.side(d.Logged, d.LoggedSite, d.LoggedEnd), d.side(d.Asked, d.AskedSite, d.AskedEnd))
}

// Unwrap returns [Diverged].
func (d *Divergence) Unwrap() error { return Diverged }

func (d *Divergence) side(c *Call, site string, end *Ended) string {
	switch {
	case c != nil:
		s := fmt.Sprintf("%s %s", c.Kind, c.Head)
		if len(c.Body) > 0 {
			s += fmt.Sprintf(" with a body of %d bytes", len(c.Body))
		}
		if site != "" {
			s += " (" + site + ")"
		}
		return s
	case end != nil:
		return end.String()
	}
	return "nothing"
}

// String describes in one line how a workflow ended.
func (e *Ended) String() string {
	if e.Failure != nil {
		return fmt.Sprintf("the end, failed with %s: %s", e.Failure.Kind, e.Failure.Message)
	}
	return fmt.Sprintf("the end, completed with %.200s", e.Output)
}

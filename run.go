package flawless

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Status is the state of a run.
type Status string

// The states of a run. pending → running ⇄ waiting → an end; beside them paused and unresolved.
const (
	Pending    Status = "pending"    // accepted, has taken no turn
	Running    Status = "running"    // computing, or about to
	Waiting    Status = "waiting"    // for answers, timers, messages
	Paused     Status = "paused"     // by a person; takes no turn
	Unresolved Status = "unresolved" // needs a person; takes no turn
	Completed  Status = "completed"  // its function returned a value
	Failed     Status = "failed"     // its function returned an error, or its guest died
	Cancelled  Status = "cancelled"  // its function gave up because it was told to
	Terminated Status = "terminated" // stopped by a person without being asked
)

// Statuses lists all states in the order of a run's life.
var Statuses = []Status{Pending, Running, Waiting, Paused, Unresolved, Completed, Failed, Cancelled, Terminated}

// OpenStatuses lists those of runs that have not ended, EndedStatuses the others.
var (
	OpenStatuses  = slices.DeleteFunc(slices.Clone(Statuses), Status.Ended)
	EndedStatuses = slices.DeleteFunc(slices.Clone(Statuses), func(s Status) bool { return !s.Ended() })
)

// Ended tells whether a run in this state will never take another turn.
func (s Status) Ended() bool {
	switch s {
	case Completed, Failed, Cancelled, Terminated:
		return true
	}
	return false
}

// Run is what is known of one execution of a workflow.
//
// It is an account of the log, never more than the log: Turns, Calls and Cost may lag behind it in
// a list, and are exact where a single run is asked for.
type Run struct {
	ID       string     `json:"id" cbor:"1,keyasint"`
	Module   string     `json:"module" cbor:"2,keyasint"`
	Digest   string     `json:"digest" cbor:"3,keyasint"` // SHA-256 of the module's bytes, hexadecimal
	Workflow string     `json:"workflow" cbor:"4,keyasint"`
	Status   Status     `json:"status" cbor:"5,keyasint"`
	Created  time.Time  `json:"created" cbor:"6,keyasint"`
	Ended    *time.Time `json:"ended,omitempty" cbor:"7,keyasint,omitempty"`
	// Wake is the moment of the next timer of a waiting run.
	Wake *time.Time `json:"wake,omitempty" cbor:"8,keyasint,omitempty"`
	// Failure says why a run failed, was cancelled or terminated.
	Failure *Failure `json:"failure,omitempty" cbor:"9,keyasint,omitempty"`
	// Unresolved lists the calls of which nobody knows whether they took effect.
	Unresolved []Doubt `json:"unresolved,omitempty" cbor:"10,keyasint,omitempty"`
	// Problem says why a run was quarantined: its log is damaged, its module is gone, it diverged.
	Problem string `json:"problem,omitempty" cbor:"11,keyasint,omitempty"`

	Turns int    `json:"turns" cbor:"12,keyasint,omitempty"`
	Calls int    `json:"calls" cbor:"13,keyasint,omitempty"`
	Cost  uint64 `json:"cost" cbor:"14,keyasint,omitempty"` // metered units of all turns

	Output json.RawMessage `json:"output,omitempty" cbor:"15,keyasint,omitempty" redact:"-"`
	// CancelRequested is set from the moment somebody asked the run to give up.
	CancelRequested bool `json:"cancel_requested,omitempty" cbor:"16,keyasint,omitempty"`

	Parent string `json:"parent,omitempty" cbor:"20,keyasint,omitempty"` // the run that spawned this one
	Of     string `json:"of,omitempty" cbor:"21,keyasint,omitempty"`     // the run that this one repeats
	Mail   int    `json:"mail,omitempty" cbor:"22,keyasint,omitempty"`   // messages that were not received yet, or never if it has ended
	// Computing is the moment since which a run has been in the turn that it computes now. It is missing
	// for a turn of less than a second.
	Computing *time.Time `json:"computing,omitempty" cbor:"-"`

	Deadline *time.Time        `json:"deadline,omitempty" cbor:"23,keyasint,omitempty"` // the run is asked to give up then
	Labels   map[string]string `json:"labels,omitempty" cbor:"40,keyasint,omitempty"`   // for people and lists
	Place    *Place            `json:"place,omitempty" cbor:"41,keyasint,omitempty"`    // where it queues before it begins
	Pause    *Pause            `json:"pause,omitempty" cbor:"42,keyasint,omitempty"`    // why it is paused or held back
	// Retrying lists the calls that failed and are tried again by the engine, in order, at most the first
	// MaxRetrying; RetryingCalls is how many there are in all.
	Retrying      []Retrying `json:"retrying,omitempty" cbor:"43,keyasint,omitempty"`
	RetryingCalls int        `json:"retrying_calls,omitempty" cbor:"44,keyasint,omitempty"`

	// Cut is set in a list where texts of the run were shortened or left out: ask for the run alone.
	Cut bool `json:"cut,omitempty" cbor:"-"`
}

// Limits of what a list tells of a run, in bytes.
const (
	maxListed       = 500 // of a text
	maxListedOutput = 4 << 10
)

// Listed returns the run as a list shows it. The texts of a run may have any length, and a list has many of
// them: long ones are shortened, and a long output is left out. r is not changed.
func (r Run) Listed() Run {
	cut := func(s string) string {
		if len(s) <= maxListed {
			return s
		}
		r.Cut = true
		return strings.ToValidUTF8(s[:maxListed], "") + "…" // not half a character
	}
	if r.Failure != nil {
		f := Failure{r.Failure.Kind, cut(r.Failure.Message), cut(r.Failure.Stack)}
		r.Failure = &f
	}
	r.Problem = cut(r.Problem)
	if len(r.Unresolved) > 0 {
		r.Unresolved = slices.Clone(r.Unresolved)
		for i := range r.Unresolved {
			d := &r.Unresolved[i]
			d.Reason, d.Request = cut(d.Reason), cut(d.Request)
		}
	}
	if len(r.Retrying) > 0 {
		r.Retrying = slices.Clone(r.Retrying)
		for i := range r.Retrying {
			c := &r.Retrying[i]
			c.Reason, c.Request = cut(c.Reason), cut(c.Request)
		}
	}
	if r.Pause != nil {
		p := *r.Pause
		p.Note = cut(p.Note)
		r.Pause = &p
	}
	if len(r.Output) > maxListedOutput {
		r.Output, r.Cut = nil, true
	}
	return r
}

// Failure is why a run ended without output.
type Failure struct {
	// Kind is one of error (the function returned it), panic, trap, memory, limit (of computation in
	// a turn), time (a turn took longer than the operator allows), exit, stuck (nothing to wait for),
	// cancelled, terminated, resolved (a person decided so).
	Kind    string `json:"kind" cbor:"1,keyasint"`
	Message string `json:"message" cbor:"2,keyasint,omitempty"`
	Stack   string `json:"stack,omitempty" cbor:"3,keyasint,omitempty"`
}

// Doubt is a call whose outcome cannot be known.
type Doubt struct {
	Call   int       `json:"call" cbor:"1,keyasint"`
	Reason string    `json:"reason" cbor:"2,keyasint"`
	Since  time.Time `json:"since" cbor:"3,keyasint"`
	// Request is a line for people, such as "POST https://pay.example/charges".
	Request string `json:"request,omitempty" cbor:"4,keyasint,omitempty"`
	// Sent is what the outside has seen of an http call, to look for there. It is told where one run is asked
	// for, not in lists.
	Sent *Sent `json:"sent,omitempty" cbor:"-"`
}

// Sent is a request as it was sent. Secrets in it are placeholders.
type Sent struct {
	Try    int       `json:"try"` // from 1
	Begun  time.Time `json:"begun"`
	Method string    `json:"method"`
	URL    string    `json:"url"`
	// IdempotencyKey is the header of that name, which each try of the call has.
	IdempotencyKey string          `json:"idempotency_key"`
	Headers        json.RawMessage `json:"headers"` // [["Name","value"],...], those that the engine adds included
	Body           Bytes           `json:"body,omitempty"`
	Size           int             `json:"size"` // of the whole body in bytes; Body has at most the first 16 KiB
}

// MaxRetrying is how many calls that are tried again a run lists. When a service is down, a run may have thousands.
const MaxRetrying = 20

// Retrying is a call that has failed at least once and is tried again.
type Retrying struct {
	Call    int       `json:"call" cbor:"1,keyasint"`
	Request string    `json:"request" cbor:"2,keyasint,omitempty"` // a line for people, such as "GET https://pay.example/rates"
	Since   time.Time `json:"since" cbor:"3,keyasint"`             // when the first try began
	Tries   int       `json:"tries" cbor:"4,keyasint"`             // that have failed
	Reason  string    `json:"reason" cbor:"5,keyasint,omitempty"`  // why the last one did
	Rule    string    `json:"rule,omitempty" cbor:"6,keyasint,omitempty"`
	// Next is when the next try begins; nil while one is under way.
	Next  *time.Time `json:"next,omitempty" cbor:"7,keyasint,omitempty"`
	Until *time.Time `json:"until,omitempty" cbor:"8,keyasint,omitempty"` // no try begins later; nil is no limit
}

// Filter selects runs for a list. The zero value selects all, newest first.
type Filter struct {
	Status   []Status          // any of these
	Module   string            // of this module
	Workflow string            // of this workflow
	Since    time.Time         // created at or after
	Until    time.Time         // created before
	Labels   map[string]string // with all of these
	Parent   string            // spawned by this run
	Retrying bool              // only runs with a call that is tried again
	Limit    int               // at most so many; 0 is 50, the highest is 1000
	Cursor   string            // where the page before ended, as it was returned
}

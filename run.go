package flawless

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Status is the state of a run.
type Status string

// The states of a run: pending → running ⇄ waiting → ended, and paused and unresolved in between.
const (
	Pending    Status = "pending"    // accepted, has taken no turn
	Running    Status = "running"    // computing, or about to
	Waiting    Status = "waiting"    // for answers, timers or messages
	Paused     Status = "paused"     // by a person; takes no turns
	Unresolved Status = "unresolved" // needs a person's decision; takes no turns
	Completed  Status = "completed"  // its function returned a value
	Failed     Status = "failed"     // its function returned an error, or its guest died
	Cancelled  Status = "cancelled"  // its function returned because the run was cancelled
	Terminated Status = "terminated" // stopped by a person without the code's cooperation
)

// Statuses lists all states in the order of a run's life.
var Statuses = []Status{Pending, Running, Waiting, Paused, Unresolved, Completed, Failed, Cancelled, Terminated}

// OpenStatuses lists the states of runs that have not ended, EndedStatuses the others.
var (
	OpenStatuses  = slices.DeleteFunc(slices.Clone(Statuses), Status.Ended)
	EndedStatuses = slices.DeleteFunc(slices.Clone(Statuses), func(s Status) bool { return !s.Ended() })
)

// Ended reports whether a run in this state has ended.
func (s Status) Ended() bool {
	switch s {
	case Completed, Failed, Cancelled, Terminated:
		return true
	}
	return false
}

// Run is the state of one execution of a workflow.
//
// It is derived from the log. In a list, Turns, Calls, Cost and the call that Waiting names may be up to three seconds
// old; they are exact for a single run.
type Run struct {
	ID       string     `json:"id" cbor:"1,keyasint"`
	Module   string     `json:"module" cbor:"2,keyasint"`
	Digest   string     `json:"digest" cbor:"3,keyasint"` // SHA-256 of the module's bytes, hexadecimal
	Workflow string     `json:"workflow" cbor:"4,keyasint"`
	Status   Status     `json:"status" cbor:"5,keyasint"`
	Created  time.Time  `json:"created" cbor:"6,keyasint"`
	Ended    *time.Time `json:"ended,omitempty" cbor:"7,keyasint,omitempty"`
	// Wake is the time of the next timer of a waiting run.
	Wake *time.Time `json:"wake,omitempty" cbor:"8,keyasint,omitempty"`
	// Failure says why a run failed, was cancelled or terminated.
	Failure *Failure `json:"failure,omitempty" cbor:"9,keyasint,omitempty"`
	// Unresolved lists the calls whose outcome is unknown.
	Unresolved []Doubt `json:"unresolved,omitempty" cbor:"10,keyasint,omitempty"`
	// Problem says why a run is quarantined: its log is damaged, its module is missing, it diverged, or the server refuses
	// to run it.
	Problem string `json:"problem,omitempty" cbor:"11,keyasint,omitempty"`

	Turns int    `json:"turns" cbor:"12,keyasint,omitempty"`
	Calls int    `json:"calls" cbor:"13,keyasint,omitempty"`
	Cost  uint64 `json:"cost" cbor:"14,keyasint,omitempty"` // metered units of all turns

	Output json.RawMessage `json:"output,omitempty" cbor:"15,keyasint,omitempty" redact:"-"`
	// CancelRequested is set once somebody has cancelled the run.
	CancelRequested bool `json:"cancel_requested,omitempty" cbor:"16,keyasint,omitempty"`

	Parent string `json:"parent,omitempty" cbor:"20,keyasint,omitempty"` // the run that spawned this one
	Of     string `json:"of,omitempty" cbor:"21,keyasint,omitempty"`     // the run that this one repeats
	Mail   int    `json:"mail,omitempty" cbor:"22,keyasint,omitempty"`   // messages that it has not received
	// Computing is when the run's current turn began. It is set only if the turn has taken more than a second.
	Computing *time.Time `json:"computing,omitempty" cbor:"-"`

	Deadline *time.Time        `json:"deadline,omitempty" cbor:"23,keyasint,omitempty"` // when the run is cancelled
	Labels   map[string]string `json:"labels,omitempty" cbor:"40,keyasint,omitempty"`   // for people and lists
	Queue    *QueueOptions     `json:"place,omitempty" cbor:"41,keyasint,omitempty"`    // concurrency key and priority
	Pause    *Pause            `json:"pause,omitempty" cbor:"42,keyasint,omitempty"`    // why it is paused or held
	// Retrying lists failed calls that the engine retries, in order of their numbers: at most the first MaxRetrying.
	// RetryingCalls is their total number.
	Retrying      []Retrying `json:"retrying,omitempty" cbor:"43,keyasint,omitempty"`
	RetryingCalls int        `json:"retrying_calls,omitempty" cbor:"44,keyasint,omitempty"`

	// Waiting is what an open run waits for; nil while it computes, and after its end.
	Waiting *Wait `json:"waiting,omitempty" cbor:"45,keyasint,omitempty"`

	// Cut is set in a list if texts of the run were shortened or omitted; get the run itself to see them.
	Cut bool `json:"cut,omitempty" cbor:"-"`
}

// Limits of a run in a list, in bytes.
const (
	maxListed       = 500 // per text
	maxListedOutput = 4 << 10
)

// Listed returns the run as a list shows it: long texts are shortened, and a long output is omitted, because a list
// has many runs. It does not change r.
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
	if r.Waiting != nil {
		w := *r.Waiting
		w.Name = cut(w.Name)
		r.Waiting = &w
	}
	if len(r.Output) > maxListedOutput {
		r.Output, r.Cut = nil, true
	}
	return r
}

// Failure is the reason why a run ended without output.
type Failure struct {
	// Kind is error (the function returned one), panic, trap, memory, limit (too much computation in a turn), time
	// (a turn took longer than the operator allows), exit, stuck (nothing to wait for), cancelled, terminated or
	// resolved (a person decided).
	Kind    string `json:"kind" cbor:"1,keyasint"`
	Message string `json:"message" cbor:"2,keyasint,omitempty"`
	Stack   string `json:"stack,omitempty" cbor:"3,keyasint,omitempty"`
}

// Doubt is a call whose outcome is unknown.
type Doubt struct {
	Call   int       `json:"call" cbor:"1,keyasint"`
	Reason string    `json:"reason" cbor:"2,keyasint"`
	Since  time.Time `json:"since" cbor:"3,keyasint"`
	// Request is a summary for people, such as "POST https://pay.example/charges".
	Request string `json:"request,omitempty" cbor:"4,keyasint,omitempty"`
	// Unseen says that the server that made the call was not seen to stop, so it may still send the request. A retry then
	// needs to be confirmed. When that server answers again, the outcome becomes known, or Unseen false.
	Unseen bool `json:"unseen,omitempty" cbor:"5,keyasint,omitempty"`
	// Sent is the request of an http call as the server may have seen it. It is not set in lists.
	Sent *Sent `json:"sent,omitempty" cbor:"-"`
}

// Sent is a request as it was sent. Secrets in it are placeholders.
type Sent struct {
	Attempt int       `json:"try"` // from 1
	Begun   time.Time `json:"begun"`
	Method  string    `json:"method"`
	URL     string    `json:"url"`
	// IdempotencyKey is the header of that name; all attempts of the call have the same.
	IdempotencyKey string          `json:"idempotency_key"`
	Headers        json.RawMessage `json:"headers"` // [["Name","value"],...], including those that the engine adds
	Body           Bytes           `json:"body,omitempty"`
	Size           int             `json:"size"` // size of the whole body in bytes; Body has at most the first 16 KiB
}

// MaxRetrying is how many calls a run lists as retrying. When a service is down, a run may have thousands.
const MaxRetrying = 20

// Retrying is a call that has failed at least once and is being retried.
type Retrying struct {
	Call     int       `json:"call" cbor:"1,keyasint"`
	Request  string    `json:"request" cbor:"2,keyasint,omitempty"` // a summary for people, such as "GET https://pay.example/rates"
	Since    time.Time `json:"since" cbor:"3,keyasint"`             // when the first attempt began
	Attempts int       `json:"tries" cbor:"4,keyasint"`             // number of failed attempts
	Reason   string    `json:"reason" cbor:"5,keyasint,omitempty"`  // why the last attempt failed
	Rule     string    `json:"rule,omitempty" cbor:"6,keyasint,omitempty"`
	// Next is when the next attempt begins; nil while one is in flight.
	Next  *time.Time `json:"next,omitempty" cbor:"7,keyasint,omitempty"`
	Until *time.Time `json:"until,omitempty" cbor:"8,keyasint,omitempty"` // when retries end; nil means no limit
}

// Filter selects runs for a list. The zero value selects all of them, newest first.
type Filter struct {
	Status   []Status          // any of these
	Module   string            // only of this module
	Workflow string            // only of this workflow
	Since    time.Time         // created at or after
	Until    time.Time         // created before
	Labels   map[string]string // with all of these
	Parent   string            // spawned by this run
	Retrying bool              // only runs with a call that is being retried
	Prefix   string            // whose id begins with this
	// Text is in the failure, the problem, or the reason or request of a call that is unresolved or retried. Case does
	// not matter.
	Text   string
	Limit  int    // maximum number of runs, up to 1000; 0 means 50
	Cursor string // the cursor returned with the previous page
}

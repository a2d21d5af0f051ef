package effect

import (
	"context"
	"time"

	"github.com/flawless-engine/flawless"
)

// Kind is one kind of call: how to understand it, and who performs it.
type Kind struct {
	Name string

	// Check understands a call and returns its policy, or an error that says which part of the
	// head is wrong. The engine answers a call that does not pass with that error.
	Check func(c flawless.Call) (Policy, error)

	// Perform carries out one try, and returns when its outcome is known or cannot become known
	// any more. It honours ctx. It may be called concurrently. Nil where the engine itself keeps
	// the call.
	Perform func(ctx context.Context, t Try) Result

	// Ended is called when a run has ended, so that nothing is kept open for it. Nil where nothing is.
	Ended func(run string)

	// Due returns when a call that the engine keeps as a timer is answered, and the answer; the zero
	// time is never. Nil for other kinds. made is the time of the turn that made the call.
	Due func(c flawless.Call, made time.Time) (time.Time, flawless.Answer, error)

	// Errand marks a call that the engine carries out within itself, on other runs or on what runs
	// share, in the order in which the run made them. An errand may be begun again after a crash
	// without harm.
	Errand bool

	// Note marks a call that has no answer.
	Note bool

	// Idle marks a call whose answer may never come: a run that waits for nothing else is stuck.
	Idle bool
}

// Policy is how the engine must treat a call.
type Policy struct {
	Title      string // a line for people: "POST https://pay.example/charges"
	Idempotent bool   // may be performed again when its outcome is unknown
	Tell       bool   // an unknown outcome is told to the code instead of stopping the run
	Retry      Retry  // the code's own policy; Attempts 0 leaves it to the engine
	ByCode     bool   // the code itself says whether the call is idempotent
	Keyless    bool   // the code has it sent without an idempotency key
	// Within is how long the server knows that key, as the code says; 0 leaves it to the operator.
	Within time.Duration
	// For is how long the call may be tried again, from the start of its first try; nil leaves it to the
	// operator, and to Retry where that has attempts.
	For        *time.Duration
	Host, Port string // of the server that is called, in the form of flawless.CanonicalHost; "" where none is

	request *request // what Check has understood, so that Perform need not again
}

// Retry says how often and when a try that Result.Again allows is repeated. The zero value is one try.
type Retry struct {
	Attempts int           // tries in all
	Initial  time.Duration // wait before the second
	Factor   float64       // by which each further wait is longer
	Max      time.Duration // longest wait
	Jitter   float64       // 0 to 1: share of the wait that is random
}

// Try is one attempt at a call.
type Try struct {
	Run  string
	Call flawless.Call
	N    int    // 1, 2, 3
	Seed []byte // of the run, from which the token of its placeholders is made
	// Within is how soon the first byte must leave: after that the server may have forgotten the idempotency
	// key. What was sent by then has the call's own time-out to be answered. 0 is no limit.
	Within time.Duration
	// The calls up to Past were made by the run Of, from which this one was forked or imported. 0 is none.
	Past int
	Of   string
	// Policy is what Check returned for the call. The zero value serves, and is slower.
	Policy Policy
}

// Outcome is what is known after a try.
type Outcome int

const (
	// NotSent: no byte reached the outside. Safe to try again.
	NotSent Outcome = iota
	// Unknown: something was sent, and no complete response came.
	Unknown
	// Answered: a complete response came.
	Answered
)

// Result is the end of a try.
type Result struct {
	Outcome Outcome
	Answer  flawless.Answer // for the guest, also where Outcome is not Answered
	Again   bool            // the call's own policy asks for another try after this result
	Passes  bool            // a failure that another try may not meet, see Failures
	Reason  string          // of a failure: its name in Failures, or "timeout" where something was sent
	Status  int             // of a response, also of one that was cut off
	After   time.Duration   // not before this time has passed (Retry-After); 0 is no wish
	Text    string          // for people: "503 Service Unavailable", "connection refused"
	Stages  []flawless.Stage
}

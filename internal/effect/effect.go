package effect

import (
	"context"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect/transport"
)

// Kind is one kind of call: how it is parsed, and who performs it.
type Kind struct {
	Name string

	// Check parses a call and returns its policy, or an error that says which part of the head is wrong. The engine
	// answers such a call with the error.
	Check func(c flawless.Call) (Policy, error)

	// Perform carries out one attempt. It returns when the outcome is known, or can no longer become known, or when
	// ctx ends. It may be called concurrently. It is nil if the engine itself carries out the call.
	Perform func(ctx context.Context, t Attempt) Result

	// Ended is called when a run has ended, to close what is still open for it. It may be nil.
	Ended func(run string)

	// Due returns when a call is answered by a timer, and the answer; the zero time is never. made is the time of the
	// turn that made the call. It is nil for kinds without a timer.
	Due func(c flawless.Call, made time.Time) (time.Time, flawless.Answer, error)

	// Errand marks a call that the engine carries out inside itself, on other runs or on state that runs share, in the
	// order in which the run made its errands. Repeating one after a crash does no harm.
	Errand bool

	// Note marks a call that has no answer.
	Note bool

	// Idle marks a call that may never be answered. A run that waits for nothing else is stuck.
	Idle bool
}

// Policy is how the engine must treat a call.
type Policy struct {
	Title      string // a line for people: "POST https://pay.example/charges"
	Idempotent bool   // may be performed again when its outcome is unknown
	Tell       bool   // an unknown outcome is reported to the code instead of stopping the run
	Retry      Retry  // the code's own policy; Attempts 0 leaves it to the engine
	ByCode     bool   // the code itself says whether the call is idempotent
	Keyless    bool   // it is sent without an idempotency key
	// Within is how long the server remembers the key, as the code says; 0 leaves that to the operator.
	Within time.Duration
	// For is how long the call may be retried, from the start of its first attempt. Nil leaves that to Retry if it has
	// attempts, and to the operator otherwise.
	For        *time.Duration
	Host, Port string // of the server, in the form of flawless.CanonicalHost; "" if the call reaches no server

	request *request // parsed by Check, so that Perform need not parse again
}

// Retry says how often and when an attempt that Result.Again allows is retried. The zero value is one attempt.
type Retry struct {
	Attempts int           // including the first
	Initial  time.Duration // wait before the second attempt
	Factor   float64       // each further wait is longer by this factor
	Max      time.Duration // longest wait
	Jitter   float64       // 0 to 1: random share of the wait
}

// Attempt is one attempt at a call.
type Attempt struct {
	Run  string
	Call flawless.Call
	N    int    // 1, 2, 3
	Seed []byte // of the run; the token of its secret placeholders is derived from it
	// Within is how soon the first byte must leave, because the server may forget the idempotency key after that. The
	// response may take as long as the call's own time-out. 0 is no limit.
	Within time.Duration
	// Past is the last call that was made by the run Of, from which this run was forked or imported. 0 is none.
	Past int
	Of   string
	// Policy is what Check returned for the call. With the zero value the call is parsed again.
	Policy Policy
	// Sending is called right before the first byte leaves, and before each further write. After an error nothing more is
	// written. Nil allows everything.
	Sending func(first bool) error
}

// ErrCutOff, as the cause of an ended context, cuts a call off: what was not sent yet never leaves the machine.
var ErrCutOff = transport.ErrCutOff

// Outcome is what is known after an attempt.
type Outcome int

const (
	// NotSent: no byte reached the outside. It is safe to retry.
	NotSent Outcome = iota
	// Unknown: something was sent, and no complete response came.
	Unknown
	// Answered: a complete response came.
	Answered
)

// Result is the result of an attempt.
type Result struct {
	Outcome Outcome
	Answer  flawless.Answer // for the guest, whatever the outcome
	Again   bool            // the call's own policy asks for another attempt
	Passes  bool            // the failure is transient, see Failure.Passes
	Reason  string          // of a failure: its name in FailureModes, or "timeout" if something was sent
	Status  int             // of a response, also of one that was cut off
	After   time.Duration   // wait at least this long before the next attempt (Retry-After); 0 is no minimum
	Text    string          // for people: "503 Service Unavailable", "connection refused"
	Stages  []flawless.Stage
}

package flawless

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// WaitKind is what a run waits for.
type WaitKind string

// Values of [WaitKind].
const (
	WaitTimer   WaitKind = "timer"   // a time
	WaitMessage WaitKind = "message" // a message; Name is its type, or several types
	WaitPromise WaitKind = "promise" // the outside to settle a promise; Name is its name
	WaitCall    WaitKind = "call"    // the answer to a call that is in flight; Name is the request
	WaitChild   WaitKind = "child"   // the end of another run; Name is its id
	WaitState   WaitKind = "state"   // a shared state; Name is its name
	WaitLimit   WaitKind = "limit"   // a permit of the rate limit of a host; Name is the host
	WaitQueue   WaitKind = "queue"   // to begin; Name is its concurrency key, if it has one
	WaitRetry   WaitKind = "retry"   // the next attempt at a call that has failed; Name is the request
	WaitPerson  WaitKind = "person"  // a decision about the call Call, or, without a call, to be resumed
)

// Wait is what an open run waits for. If it waits for several things, this is what needs attention first: a person, a
// permit, a retry, then the newest call. Others is the number of calls that it waits for as well.
type Wait struct {
	Kind   WaitKind `json:"kind" cbor:"1,keyasint"`
	Name   string   `json:"name,omitempty" cbor:"2,keyasint,omitempty"`
	Call   int      `json:"call,omitempty" cbor:"3,keyasint,omitempty"`
	Site   string   `json:"at,omitempty" cbor:"4,keyasint,omitempty"` // call site, file:line
	Others int      `json:"others,omitempty" cbor:"5,keyasint,omitempty"`
	// Since is when it began to wait for this.
	Since *time.Time `json:"since,omitempty" cbor:"6,keyasint,omitempty"`
	// Until is when the run goes on in any case, because of a timer or a time limit; nil if that is never.
	Until *time.Time `json:"until,omitempty" cbor:"7,keyasint,omitempty"`
	// Text is the sentence of [Wait.Sentence], with times in UTC. It is made when the value is encoded as JSON.
	Text string `json:"text,omitempty" cbor:"-"`
}

// MarshalJSON implements json.Marshaler. It sets Text.
func (w Wait) MarshalJSON() ([]byte, error) {
	w.Text = w.Sentence(func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") })
	type plain Wait
	return json.Marshal(plain(w))
}

// Sentence says in words what the run waits for, such as "waits until 14:00 for the timer at main.go:58". clock formats
// times.
func (w Wait) Sentence(clock func(time.Time) string) string {
	until := ""
	if w.Until != nil {
		until = clock(*w.Until)
	}
	name := "`" + w.Name + "`"
	var b strings.Builder
	switch w.Kind {
	case WaitTimer:
		fmt.Fprintf(&b, "waits until %s for ", until)
		if until = ""; w.Site != "" {
			b.WriteString("the timer")
		} else {
			b.WriteString("a timer")
		}
	case WaitMessage:
		b.WriteString("waits for message " + name)
	case WaitPromise:
		b.WriteString("waits for promise " + name)
	case WaitChild:
		b.WriteString("waits for run " + w.Name)
	case WaitState:
		b.WriteString("waits for state " + name)
	case WaitLimit:
		b.WriteString("waits for a permit of the rate limit of " + w.Name)
	case WaitRetry:
		b.WriteString("waits for the next attempt at " + w.Name)
	case WaitQueue:
		if b.WriteString("waits to begin"); w.Name != "" {
			b.WriteString(" under concurrency key " + name)
		}
	case WaitPerson:
		if w.Call == 0 {
			b.WriteString("waits for a person to resume it")
		} else if b.WriteString(fmt.Sprintf("waits for a decision about call %d", w.Call)); w.Name != "" {
			b.WriteString(", " + w.Name)
		}
	default:
		b.WriteString("waits for the answer to " + w.Name)
	}
	if w.Site != "" {
		b.WriteString(" at " + w.Site)
	}
	if until != "" {
		if w.Kind == WaitRetry {
			b.WriteString(", at " + until)
		} else {
			b.WriteString(", or until " + until)
		}
	}
	switch {
	case w.Others == 1:
		b.WriteString(", and for 1 more call")
	case w.Others > 1:
		fmt.Fprintf(&b, ", and for %d more calls", w.Others)
	}
	return b.String()
}

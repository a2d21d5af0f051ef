package core

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// model is a small model of a run. It observes what becomes durable and what is performed, knows nothing of how [State]
// works, and panics with a violation if a promise is broken.
type model struct {
	within int64 // the server honours keys for so long, 0 is not at all

	calls    []*modelCall // by number, from 1; nil where a call has no answer
	ready    []int        // answers that the guest has not heard
	mail     []flawless.Message
	accepted []flawless.Message
	turns    int
	wake     int64
	status   flawless.Status

	paused, held bool
	cancel       *flawless.Cancel
}

// modelCall is what the model knows of a call.
type modelCall struct {
	n         int
	word      string // of the language of scenarios
	types     []string
	due, next int64
	closed    bool // answered, or void
	unknown   bool
	fresh     bool  // begun by a restart or a person
	attempts  int   // that were performed
	inFlight  bool  // one is under way
	suspect   bool  // one may have taken effect, and nobody has said that it did not
	reached   int64 // when the first one did that reached the server
}

// violation is a broken promise.
type violation string

func (p *model) fail(format string, args ...any) { panic(violation(fmt.Sprintf(format, args...))) }

func (c *modelCall) isRequest() bool  { return slices.Contains(requests, c.word) }
func (c *modelCall) errand() bool     { return c.word == "spawn" }
func (c *modelCall) idempotent() bool { return c.word == "put" || c.word == "put retry" }

// requests are the words for http calls.
var requests = []string{"post", "put", "tell", "post retry", "put retry"}

// call returns a call that has not been answered.
func (p *model) call(n int) *modelCall {
	if n < 1 || n > len(p.calls) || p.calls[n-1] == nil {
		p.fail("there is no call %d", n)
	}
	if p.calls[n-1].closed {
		p.fail("call %d has its answer, or is void, and is heard of again", n)
	}
	return p.calls[n-1]
}

func (p *model) open(yield func(c *modelCall) bool) {
	for _, c := range p.calls {
		if c != nil && !c.closed && !yield(c) {
			return
		}
	}
}

// seen reports whether a message was accepted before: from the same call of a run, or with the same key.
func (p *model) seen(m flawless.Message) bool {
	return slices.ContainsFunc(p.accepted, func(o flawless.Message) bool {
		return m.From != "" && o.From == m.From && o.Call == m.Call || m.Key != "" && o.Key == m.Key
	})
}

// ended observes the end of the run: what was to wake it is void.
func (p *model) ended(status flawless.Status) {
	p.status, p.ready, p.wake, p.paused = status, nil, 0, false
	for c := range p.open {
		c.closed = !c.isRequest() && !c.errand()
	}
}

// observe observes a durable entry. words are the calls of a turn.
func (p *model) observe(e flawless.Entry, words []string) {
	switch {
	case e.Turn != nil:
		p.observeTurn(e, words)
	case e.Arrival != nil:
		p.observeAnswer(e)
	case e.Message != nil:
		if p.seen(*e.Message) || e.Message.N != len(p.accepted)+1 {
			p.fail("message %+v comes after %+v", *e.Message, p.accepted)
		}
		p.accepted = append(p.accepted, *e.Message)
		if p.status == "" {
			p.mail = append(p.mail, *e.Message)
		}
	case e.Attempt != nil && e.Attempt.Begun:
		c := p.call(e.Attempt.Call)
		switch {
		case p.held && p.status == "": // nobody resumes one that has ended: a person decides about each of its calls
			p.fail("call %d begins while the run is held", c.n)
		case p.status == "" && (len(p.ready) > 0 || p.wake != 0 && p.wake <= e.At) && e.Attempt.Result == "":
			p.fail("call %d begins before the guest has heard of all that was due", c.n)
		case e.At < c.next:
			p.fail("call %d begins before the time of its next attempt", c.n)
		case p.status != "" && p.status != flawless.Completed:
			p.fail("call %d begins after the run was %s", c.n, p.status)
		}
		c.next, c.fresh = 0, c.fresh || e.Attempt.Result != ""
	case e.Attempt != nil:
		c := p.call(e.Attempt.Call)
		if c.next = e.Attempt.Next; c.next != 0 {
			c.fresh = e.Attempt.Anew
		}
	case e.Unknown != nil:
		c := p.call(e.Unknown.Call)
		c.unknown, c.next = true, 0
	case e.Decision != nil:
		c := p.call(e.Decision.Call)
		switch {
		case e.Decision.Resolution == flawless.Fail:
			c.closed = true
		case e.Decision.Resolution == flawless.Retry && c.unknown: // a person says that it did not happen
			c.suspect, c.reached, c.fresh = false, 0, true
			if p.held && p.status == "" && c.isRequest() {
				c.next = e.At
			}
		case e.Decision.Resolution == flawless.Retry:
			c.next = min(c.next, e.At)
		}
		c.unknown = false
	case e.Cancel != nil:
		p.cancel = e.Cancel
	case e.Pause != nil && e.Pause.Hold:
		p.held = true
	case e.Pause != nil && !e.Pause.Resume:
		p.paused = true
	case e.Pause != nil:
		p.paused, p.held = p.paused && p.held, false
	case e.End != nil:
		p.ended(e.End.Status)
	}
}

func (p *model) observeTurn(e flawless.Entry, words []string) {
	t := e.Turn
	if p.status != "" || p.paused || p.held || p.isUnresolved() {
		p.fail("a turn is taken while the run is %q, paused %v, held %v", p.status, p.paused, p.held)
	}
	if len(t.Answers) > len(p.ready) || !slices.Equal(t.Answers, p.ready[:len(t.Answers)]) {
		p.fail("the guest hears of %v, and has to hear of %v", t.Answers, p.ready)
	}
	p.ready = slices.Clone(p.ready[len(t.Answers):])
	p.turns, p.wake = t.N, t.Wake
	for i, made := range t.Calls {
		if made.N != len(p.calls)+1 {
			p.fail("call %d is made after %d others", made.N, len(p.calls))
		}
		c := &modelCall{n: made.N, word: words[i]}
		switch made.Kind {
		case effect.Withdraw:
			c = nil
		case effect.Sleep:
			c.due = t.Time + sleepFor
		case effect.Receive:
			var h struct{ Types []string }
			_ = json.Unmarshal(made.Head, &h)
			c.types = h.Types
		}
		p.calls = append(p.calls, c)
	}
	if t.Ended == nil {
		return
	}
	status := flawless.Completed
	if f := t.Ended.Failure; f != nil {
		if status = flawless.Failed; f.Kind == "cancelled" && p.cancel != nil {
			status = flawless.Cancelled
		}
	}
	p.ended(status)
}

func (p *model) observeAnswer(e flawless.Entry) {
	c := p.call(e.Arrival.Call)
	withdrawn := effect.IsWithdrawn(e.Arrival.Answer)
	switch {
	case c.word == "cancelled?" && p.cancel == nil:
		p.fail("call %d gets a cancellation that never was", c.n)
	case c.word == "sleep" && e.At < c.due:
		p.fail("call %d sleeps until %d, and wakes at %d", c.n, c.due, e.At)
	case c.types != nil && !withdrawn:
		i := slices.IndexFunc(p.mail, func(m flawless.Message) bool { return slices.Contains(c.types, m.Type) })
		if i < 0 || p.mail[i].N != e.Arrival.Message || string(p.mail[i].Body) != string(e.Arrival.Body) {
			p.fail("call %d receives message %d of %v", c.n, e.Arrival.Message, p.mail)
		}
		p.mail = slices.Delete(slices.Clone(p.mail), i, i+1)
	case withdrawn && c.isRequest() && !c.idempotent() && c.suspect:
		p.fail("call %d may have taken effect, and the code gets that it was withdrawn", c.n)
	}
	if c.closed, c.unknown = true, false; p.status == "" {
		p.ready = append(p.ready, c.n)
	}
}

func (p *model) isUnresolved() bool {
	for c := range p.open {
		if c.unknown {
			return true
		}
	}
	return false
}

// startAttempt observes an attempt that leaves the engine.
func (p *model) startAttempt(n int, now int64) {
	c := p.call(n)
	switch {
	case c.inFlight:
		p.fail("call %d is performed twice at a time", n)
	case c.unknown:
		p.fail("call %d is performed while a person has to decide about it", n)
	case p.held && p.status == "":
		p.fail("call %d is performed while the run is held", n)
	case c.suspect && !c.idempotent() && p.within == 0:
		p.fail("call %d may have taken effect, and is performed again", n)
	case c.suspect && !c.idempotent() && now >= c.reached+p.within:
		p.fail("call %d may have taken effect, and is performed again when its key may have been forgotten", n)
	case p.status != "" && p.status != flawless.Completed:
		p.fail("call %d is performed after the run was %s", n, p.status)
	case p.status != "" && c.attempts > 0 && !c.fresh:
		p.fail("call %d is tried again after the run has returned", n)
	}
	c.attempts++
	c.inFlight, c.suspect = true, true
	if c.reached == 0 {
		c.reached = now
	}
}

// endAttempt observes the end of an attempt: whether it had no effect, and whether it reached the server.
func (p *model) endAttempt(n int, harmless, reached bool, before modelCall) {
	c := p.calls[n-1]
	if c.inFlight = false; harmless {
		c.suspect = before.suspect
	}
	if !reached {
		c.reached = before.reached
	}
}

// crash observes the death of the server: what was in flight may have taken effect.
func (p *model) crash() {
	for _, c := range p.calls {
		if c != nil {
			c.inFlight = false
		}
	}
}

// wantsTurn reports whether the guest has something to compute.
func (p *model) wantsTurn(now int64) bool {
	return p.status == "" && !p.paused && !p.held && !p.isUnresolved() && (p.turns == 0 || len(p.ready) > 0 || p.wake != 0 && p.wake <= now)
}

// nextWake returns the first time at which something is due, 0 for never.
func (p *model) nextWake() (at int64) {
	may := func(t int64, counts bool) {
		if t != 0 && counts && (at == 0 || t < at) {
			at = t
		}
	}
	may(p.wake, !p.paused && !p.held && !p.isUnresolved())
	if p.status == "" && p.cancel != nil {
		may(p.cancel.Deadline, true)
	}
	for c := range p.open {
		behind := p.status == "" && (len(p.ready) > 0 || p.wake != 0 && p.wake <= c.next)
		may(c.due, true)
		may(c.next, !p.held && !behind)
	}
	return at
}

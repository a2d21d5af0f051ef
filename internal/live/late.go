package live

import (
	"context"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
)

// Outcome is the result of an attempt whose run this server has lost in the meantime. It was not logged, as far as this
// server knows.
type Outcome struct {
	Run     string        `cbor:"1,keyasint"`
	Attempt core.Attempt  `cbor:"2,keyasint"`
	Result  effect.Result `cbor:"3,keyasint"`
	// Lapsed says that nothing was sent because the lease of this server was over.
	Lapsed bool `cbor:"4,keyasint,omitempty"`
}

// Late takes the outcomes of calls that must not be repeated and whose shard was lost while they were in flight. Its methods
// may be called concurrently, and under any lock.
type Late interface {
	// Expect announces an outcome, and Put hands one over. Each Expect is followed by a Put, or by Put of nil if there is
	// none.
	Expect()
	Put(o *Outcome)
}

// passage is a call in flight that may outlive the ownership of its run.
type passage struct {
	stop func() bool // ends the watching; false if the shard was lost
	left chan bool   // then receives whether nobody waits for the call any more
}

// watch lets a call that must not be repeated run on when its shard is lost, without anybody who waits for its goroutine.
func (r *Run) watch(stop context.CancelCauseFunc) passage {
	p := passage{left: make(chan bool, 1)}
	p.stop = context.AfterFunc(r.part.life.Calls, func() {
		switch {
		case r.part.cut.Load(): // the server stops: it must not leave anything behind that is still being sent
			stop(effect.ErrCutOff)
			p.left <- false
		case r.reg.o.Lifecycle.Sends.Err() != nil:
			p.left <- false
		default:
			r.reg.o.Late.Expect()
			r.part.tasks.Leave()
			p.left <- true
		}
	})
	return p
}

// endWatch ends the watching after the call. It reports whether the call was left to itself: then its outcome is handed over.
func (r *Run) endWatch(p passage) (lost bool) {
	lost = !p.stop() && <-p.left
	if lost {
		r.part.tasks.Return()
	}
	return lost
}

// handOver hands over what attempts in a batch ended with that cannot be written, because the shard is lost.
func (r *Run) handOver(batch []pending) {
	if r.reg.o.Late == nil || !r.part.life.Over() || r.reg.o.Lifecycle.Sends.Err() != nil {
		return
	}
	for _, p := range batch {
		if p.outcome != nil {
			r.reg.o.Late.Expect()
			r.reg.o.Late.Put(p.outcome)
		}
	}
}

// notBegun hands over that an attempt was not begun because the shard was lost after the log said that it begins. The caller
// holds mu.
func (r *Run) notBegun(t core.Attempt) {
	c := r.s.Call(t.Call)
	if c == nil || c.Attempts() != t.N || c.Policy().Idempotent {
		return
	}
	text := errLapsed.Error()
	r.handOver([]pending{{outcome: &Outcome{r.id, t, effect.Result{Outcome: effect.NotSent, Text: text, Passes: true,
		Answer: effect.FailureAnswer(t.Call, "not_sent", text, "", 0)}, true}}})
}

// Learn logs the outcome of an attempt of an owner before, and returns when that is durable. It returns flawless.Conflict if
// nobody waits for that outcome any more, see [core.State.Learn].
func (g *Registry) Learn(ctx context.Context, o Outcome) error {
	r, err := g.Acquire(ctx, o.Run)
	if err != nil {
		return err
	}
	defer r.Release()
	_, err = r.Change(ctx, func(s *core.State, now int64) ([]flawless.Entry, error) {
		return s.Learn(o.Attempt, o.Result, o.Lapsed, now, r.terms)
	})
	return err
}

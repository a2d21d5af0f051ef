package engine

import (
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/statelock"
)

// breakDeadlock looks whether a run that has come to rest is part of a deadlock, and breaks it.
func (e *Engine) breakDeadlock(run string) {
	if !e.life.Over() {
		e.deadlocks.Check(run)
	}
}

// parked is called when a run waits for its concurrency key: others, who may wait for it, keep it back from now on.
func (e *Engine) parked(run string) {
	if e.graph.IsAwaited(run) {
		e.tasks.Go(func() { e.breakDeadlock(run) })
	}
}

// tellDeadlock answers the first call of a cycle with an error. It returns false if that is impossible.
func (e *Engine) tellDeadlock(x statelock.Edge, why string) bool {
	r, err := e.runs.Acquire(e.life.Calls, x.From)
	if err != nil {
		return false
	}
	defer r.Release()
	tell := func() bool { return r.Answer(x.Call, effect.ErrorAnswer(x.Call, "deadlock", why)) }
	if x.Wanted.State != "" {
		return e.locks.Withdraw(x.Wanted.State, r, x.Call, tell)
	}
	told := tell()
	e.ends.remove(x.Wanted.Run, r, x.Call)
	return told
}

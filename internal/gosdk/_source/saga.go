package flawless

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Saga is a sequence of steps that either all take effect or are undone. Get one from [InSaga], and use it in one
// goroutine.
type Saga struct {
	ctx    context.Context // of the steps; ends when the undos begin
	cancel context.CancelCauseFunc
	undos  []undo // of the steps taken, in order
	retry  Retry
}

// errUndoing is the cause of the context of steps whose saga is being undone.
var errUndoing = fmt.Errorf("the saga is being undone: %w", context.Canceled)

type undo struct {
	name string
	do   func(ctx context.Context) error
	step *sagaStep // the step that it undoes
	n    int       // number of the step in the run
}

// sagaStep is a step that was taken. It counts what was begun in it and in the sagas within it, until each has an
// outcome: its undo waits for that, and then nothing can begin in it any more.
type sagaStep struct {
	outer *sagaStep // the step that contains its saga, or nil

	mu       sync.Mutex
	open     int                         // number of things begun without an outcome yet
	idle     chan struct{}               // closed when open falls to 0; nil if nothing waits for that
	children []func(ctx context.Context) // each waits for a child that was spawned in the step
	over     bool                        // the undo of the step has begun
}

type stepKey struct{}

// stepOf returns the step that ctx belongs to, or nil.
func stepOf(ctx context.Context) *sagaStep {
	s, _ := ctx.Value(stepKey{}).(*sagaStep)
	return s
}

// enter counts something that begins in the step, and in the steps around it, until leave. It returns errUndoing if
// the undo of one of them has begun and must not be overtaken. Code that makes several calls in a row enters once for
// all of them, so that no undo comes in between. s may be nil: no step.
func (s *sagaStep) enter() error {
	for at := s; at != nil; at = at.outer {
		if !at.begin() {
			for in := s; in != at; in = in.outer {
				in.end()
			}
			return errUndoing
		}
	}
	return nil
}

func (s *sagaStep) leave() {
	for ; s != nil; s = s.outer {
		s.end()
	}
}

func (s *sagaStep) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.open++
	}
	return !s.over
}

func (s *sagaStep) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open--; s.open == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// spawned makes the undo of the step, and of those around it, wait for a child.
func (s *sagaStep) spawned(wait func(ctx context.Context)) {
	for ; s != nil; s = s.outer {
		s.mu.Lock()
		s.children = append(s.children, wait)
		s.mu.Unlock()
	}
}

// settle waits until everything that was begun in the step has an outcome, and then lets nothing begin in it.
func (s *sagaStep) settle(ctx context.Context) {
	for {
		s.mu.Lock()
		switch {
		case s.open > 0:
			if s.idle == nil {
				s.idle = make(chan struct{})
			}
			idle := s.idle
			s.mu.Unlock()
			<-idle
		case len(s.children) > 0:
			wait := s.children[0]
			s.children = s.children[1:]
			s.mu.Unlock()
			wait(ctx)
		default:
			s.over = true
			s.mu.Unlock()
			return
		}
	}
}

// stepsTaken counts the steps of all sagas of the run.
var stepsTaken atomic.Int64

// taken tells the engine about a step that is about to be taken, and returns its number. If the run ends in a way
// that prevents undos (the guest exits, runs out of memory or panics outside the workflow, or somebody terminates the
// run), the engine names the steps that are left.
func taken(name string) int {
	n := int(stepsTaken.Add(1))
	o := wire.NewObject(nil)
	o.Int("n", int64(n))
	if name == "" {
		name = "a step without a name"
	}
	o.Str("name", cut(name, maxStepName))
	note("step", o.End(), nil)
	return n
}

// settled tells the engine that a step is undone, or need not be any more.
func (u *undo) settled() {
	o := wire.NewObject(nil)
	o.Int("n", int64(u.n))
	note("step", o.End(), nil)
}

// maxStepName limits the name of a step in the log, in bytes.
const maxStepName = 200

// SagaOption is an option for [InSaga]: [UndoRetry].
type SagaOption interface{ saga(*Saga) }

// UndoRetry is a [SagaOption] that says how often and when a failed undo is tried again. A zero field has its
// default: 10 attempts, one second before the second attempt, twice as long before each further one, at most a
// minute. Statuses and Jitter have no effect.
type UndoRetry Retry

func (r UndoRetry) saga(s *Saga) { s.retry = Retry(r) }

// InSaga calls f, which takes steps with [Saga.Step]. If f returns an error or panics, the undos of the steps that
// were taken run in reverse order; then InSaga returns the error of f, or the panic continues. This includes a run
// that is cancelled, if f returns an error because of it. If f returns nil, nothing is undone.
//
// Undos run in a context that is not cancelled. A failed undo is tried again as [UndoRetry] says. One that panics
// counts as failed.
//
// When the undos begin, the context of all steps ends: open requests of the steps are withdrawn, and no new ones
// begin. Once the undo of a step has begun, no request, child or saga can begin in any context derived from the
// context of that step, not even through context.WithoutCancel: they return an error that is context.Canceled.
//
// If an undo fails for good, the run becomes unresolved and lists the steps that are done, undone and not undone. A
// person then fixes the problem and resolves the call: --retry tries the undo again, --response counts it as done,
// and --error gives it up. InSaga continues with the remaining undos, and the error it returns includes an
// [*UndoError] for steps that were given up.
//
// Nothing is undone if the guest dies or the run is terminated: after os.Exit, log.Fatal, a panic in another
// goroutine than the workflow's, a fatal error of the runtime, running out of memory, or a turn that computes for too
// long. The failure of the run and a line in its log then name the steps that were taken and not undone, newest
// first.
//
// A saga inside a step counts as a part of it: the undo of the step waits until the inner saga has returned,
// including its own undos, even if a goroutine that the step has left behind runs it.
func InSaga(ctx context.Context, f func(s *Saga) error, opts ...SagaOption) (err error) {
	outer := stepOf(ctx)
	if err := outer.enter(); err != nil {
		return err
	}
	defer outer.leave()
	s := &Saga{}
	s.ctx, s.cancel = context.WithCancelCause(ctx) // not cancelled after success: goroutines of the steps may still use it
	for _, opt := range opts {
		opt.saga(s)
	}
	returned := false
	defer func() {
		if !returned { // f panicked
			_ = s.undo("a panic") // the engine names the steps that are left
		}
	}()
	err = f(s)
	returned = true
	if err == nil {
		for i := range s.undos {
			s.undos[i].settled()
		}
		return nil
	}
	if left := s.undo(err.Error()); left != nil {
		for i := range left.given {
			left.given[i].settled() // the error names them
		}
		return errors.Join(err, left)
	}
	return err
}

// Step calls do and registers undoStep in case the saga fails. It registers undoStep before it calls do, and undoStep
// also runs if do fails, because do may have taken effect in part; undoStep must be right in both cases. Pass nil if
// the step needs no undo. If the run is cancelled or the saga is being undone, Step returns the reason and does not
// call do.
//
// undoStep never overtakes do: it runs only when all requests that do began with its ctx have an outcome, including
// idempotent ones, and all children that are not [Detached] have ended, whether do waited for them or not.
func (s *Saga) Step(name string, do, undoStep func(ctx context.Context) error) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	step := &sagaStep{outer: stepOf(s.ctx)}
	if undoStep != nil {
		s.undos = append(s.undos, undo{name, undoStep, step, taken(name)})
	}
	if err := do(context.WithValue(s.ctx, stepKey{}, step)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// undo undoes all steps and returns an UndoError if some could not be undone. It first ends the context of the steps:
// an undo waits for the requests of its step, and none of them may begin or be retried in the meantime.
func (s *Saga) undo(why string) *UndoError {
	s.cancel(errUndoing)
	ctx := context.WithValue(context.WithoutCancel(s.ctx), undoKey{}, true)
	var undone []string
	var lost []undo
	for i := len(s.undos) - 1; i >= 0; i-- {
		u := s.undos[i]
		u.step.settle(ctx)
		for {
			err := s.try(ctx, u)
			if err == nil {
				undone = append(undone, u.name)
				u.settled()
				break
			}
			again, told := s.ask(u.name, why, err, undone, s.undos[:i])
			if told != nil {
				lost = append(lost, u)
				break
			}
			if !again {
				undone = append(undone, u.name)
				u.settled()
				break
			}
		}
	}
	s.undos = nil
	if len(lost) == 0 {
		return nil
	}
	e := &UndoError{given: lost}
	for _, u := range lost {
		e.Steps = append(e.Steps, u.name)
	}
	return e
}

func (s *Saga) try(ctx context.Context, u undo) (err error) {
	r := s.retry
	if r.Attempts == 0 {
		r.Attempts = 10
	}
	if r.Initial == 0 {
		r.Initial = time.Second
	}
	if r.Factor == 0 {
		r.Factor = 2
	}
	if r.Max == 0 {
		r.Max = time.Minute
	}
	wait := r.Initial
	for n := 1; ; n++ {
		if err = u.carryOut(ctx); err == nil || n >= r.Attempts {
			return err
		}
		if err := Sleep(ctx, wait); err != nil {
			return err
		}
		wait = r.longer(wait)
	}
}

// longer returns the wait that follows a wait.
func (r *Retry) longer(wait time.Duration) time.Duration {
	if next := float64(wait) * r.Factor; next < float64(r.Max) { // false for NaN
		return time.Duration(next)
	}
	return r.Max
}

// carryOut calls an undo. A panic counts as a failure, so that the undos of the other steps still run.
func (u *undo) carryOut(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("it panicked: %v\n%s", v, site.PanicStack())
		}
	}()
	return u.do(ctx)
}

// ask makes the run wait for a person's decision about an undo that has failed for good.
func (s *Saga) ask(name, why string, failure error, undone []string, before []undo) (again bool, told error) {
	var open []string
	for _, u := range before {
		open = append(open, u.name)
	}
	reason := fmt.Sprintf("the saga failed (%s) and undoing the step %q failed for good: %v; undone: %s; still done and undone after this: %s",
		why, name, failure, orNone(undone), orNone(open))
	return doubt("undo "+name, reason)
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// doubt makes the run unresolved until a person decides. It reports whether to try again, or returns the person's
// error.
func doubt(request, reason string) (again bool, told error) {
	h, _, n, err := inDoubt(request, reason)
	switch {
	case err != nil:
		return false, err
	case h.Failure != nil:
		return false, callError(h.Failure, "doubt", request, n)
	}
	return h.Note == "retry", nil
}

func inDoubt(request, reason string) (wire.Head, []byte, int, error) {
	o := wire.NewObject(nil)
	o.Str("request", request)
	o.Str("reason", reason)
	o.Site(site.Caller(2))
	var h wire.Head
	n, body, err := exchange(context.Background(), "doubt", o.End(), nil, &h)
	return h, body, n, err
}

// UndoError lists the steps of a saga that could not be undone and that a person gave up.
type UndoError struct {
	Steps []string
	given []undo
}

func (e *UndoError) Error() string {
	return "not undone: " + strings.Join(e.Steps, ", ")
}

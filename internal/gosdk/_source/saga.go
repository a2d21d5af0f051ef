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

// Saga is a sequence of steps of which either all take effect, or those that did are undone.
type Saga struct {
	ctx    context.Context // of its steps; it ends when they are undone
	cancel context.CancelCauseFunc
	undos  []undo // of the steps that are done, in order
	retry  Retry
}

// errUndoing is why the context of steps has ended that are undone.
var errUndoing = fmt.Errorf("the saga is being undone: %w", context.Canceled)

type undo struct {
	name string
	do   func(ctx context.Context) error
	step *sagaStep // that it undoes
	n    int       // of the step within the run
}

// sagaStep is a step that was taken. What is begun in it, and in the sagas within it, is counted until it has
// an outcome: its undo waits for that, and then nothing begins in it any more.
type sagaStep struct {
	outer *sagaStep // in which its saga is

	mu       sync.Mutex
	open     int                         // what was begun and has no outcome yet
	idle     chan struct{}               // closed when open falls to 0; nil if nobody waits for that
	children []func(ctx context.Context) // each waits for one that was spawned in it
	over     bool                        // its undo has begun
}

type stepKey struct{}

// stepOf returns the step that ctx belongs to, or nil.
func stepOf(ctx context.Context) *sagaStep {
	s, _ := ctx.Value(stepKey{}).(*sagaStep)
	return s
}

// enter counts something that begins in the step, and in those around it, until leave. It returns errUndoing
// where an undo has begun that must not be overtaken. What makes several calls one after the other enters for
// all of them, so that no undo comes in between. A nil step is none.
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

// spawned has an undo of the step, and of those around it, wait for a child.
func (s *sagaStep) spawned(wait func(ctx context.Context)) {
	for ; s != nil; s = s.outer {
		s.mu.Lock()
		s.children = append(s.children, wait)
		s.mu.Unlock()
	}
}

// settle waits until everything that was begun in the step has an outcome, and lets nothing begin after that.
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

// stepsTaken counts those of all sagas of the run.
var stepsTaken atomic.Int64

// taken tells the engine of a step that is about to be taken, and returns its number. The engine names the
// steps that are left when the run ends in a way in which nothing can be undone: the guest has exited, has
// no memory left, panics beside the workflow, or somebody terminates the run.
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

// settled tells the engine that a step is undone, or that nobody wants it undone any more.
func (u *undo) settled() {
	o := wire.NewObject(nil)
	o.Int("n", int64(u.n))
	note("step", o.End(), nil)
}

// maxStepName is how much of a name the engine is told, in bytes.
const maxStepName = 200

// SagaOption says something about a saga. [UndoRetry] is one.
type SagaOption interface{ saga(*Saga) }

// UndoRetry is a [SagaOption]: how often and when an undo that fails is tried again. The zero value of
// a member stands for that of the default: 10 tries, the second after a second, each further wait twice
// as long, at most a minute. Statuses and Jitter have no meaning here.
type UndoRetry Retry

func (r UndoRetry) saga(s *Saga) { s.retry = Retry(r) }

// InSaga calls f, which takes steps. When f returns an error or panics, or the run is cancelled and f
// returns because of it, the undos of the steps that were taken run in reverse order, each under a
// context that is not cancelled any more and tried again as [UndoRetry] says. Then the error of f is
// returned, or the panic goes on. An undo that panics has failed, as one that returns an error.
//
// The context of all steps ends when the undos begin: requests that a step has left behind are withdrawn,
// and no new one begins under it. It does not end where f returns without an error. Once the undo of a step
// has begun, no request, child or saga begins under a context that was made of the step's in whatever way,
// also by context.WithoutCancel: their error is a context.Canceled.
//
// Where an undo fails for good, the run becomes unresolved and says which steps are done, which are
// undone and which are not. A person puts things right, and then resolves the call: with --retry the
// undo is tried again, with --response it counts as undone, with --error it is given up; InSaga goes
// on with the others and returns an [*UndoError] in the last case.
//
// Nothing is undone where the guest dies or is not asked: after os.Exit, log.Fatal, a panic in a goroutine
// beside the workflow's, a fatal error of the runtime, a lack of memory, a turn that computes too much, and
// when somebody terminates the run. The failure of the run and a line of its log then name the steps that
// were taken and not undone, newest first.
//
// A saga within a step counts as a whole: the step's undo waits until that saga has returned, and has undone
// its own steps if it must, also where a goroutine takes it that the step has left behind.
func InSaga(ctx context.Context, f func(s *Saga) error, opts ...SagaOption) (err error) {
	outer := stepOf(ctx)
	if err := outer.enter(); err != nil {
		return err
	}
	defer outer.leave()
	s := &Saga{}
	s.ctx, s.cancel = context.WithCancelCause(ctx) // lives on where all is well: steps may have left something behind
	for _, opt := range opts {
		opt.saga(s)
	}
	returned := false
	defer func() {
		if !returned { // f panicked
			_ = s.undo("a panic") // the engine names what is left
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
			left.given[i].settled() // the error names it
		}
		return errors.Join(err, left)
	}
	return err
}

// Step calls do, and keeps undo for the case that the saga fails. undo is kept before do is called: it
// is called also where do fails, for do may have taken effect in part, and must be right in both
// cases. A nil undo is a step that needs none. Where the run is cancelled, or the saga is being undone, do
// is not called.
//
// undo never overtakes what do began with its ctx: it is called when all requests have an outcome, also
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

// undo undoes all steps and returns an UndoError where some could not be. First it ends their context: an
// undo waits for the requests of its step, and none of them may begin, or be tried again, meanwhile.
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

// longer is the wait that follows a wait.
func (r *Retry) longer(wait time.Duration) time.Duration {
	if next := float64(wait) * r.Factor; next < float64(r.Max) { // and is a number
		return time.Duration(next)
	}
	return r.Max
}

// carryOut calls an undo. One that panics has failed, so that those of the other steps are still called.
func (u *undo) carryOut(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("it panicked: %v\n%s", v, site.PanicStack())
		}
	}()
	return u.do(ctx)
}

// ask makes the run wait for a person's word on an undo that has failed for good.
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

// doubt makes the run unresolved until a person says what is true. It returns whether to try again,
// or the error the person told.
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

// UndoError says which steps of a saga could not be undone and were given up by a person.
type UndoError struct {
	Steps []string
	given []undo
}

func (e *UndoError) Error() string {
	return "not undone: " + strings.Join(e.Steps, ", ")
}

package flawless

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/turn"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Child is a run that this run has spawned, or one that it waits for, with an output of type Out.
type Child[Out any] struct {
	id       string
	name     string // module/workflow
	detached bool
	attached bool  // this run has spawned it, and it is not detached
	wrong    error // it could not be asked for

	turn gate // of those that wait
	call int  // whose answer is waited for; 0: none was made

	awaits bool // the call waits for the end alone
	over   bool
	out    Out
	err    error
}

// SpawnOption says something about a child. [Detached] makes one.
type SpawnOption interface{ spawn(*spawning) }

type spawning struct{ detached bool }

type spawnOption func(*spawning)

func (f spawnOption) spawn(s *spawning) { f(s) }

// Detached lets the child go on by itself: it is not cancelled when this run is. [Child.Wait] tells
// how it ends all the same.
func Detached() SpawnOption { return spawnOption(func(s *spawning) { s.detached = true }) }

// Spawn starts a run of "module/workflow", or of a workflow of this run's own module in its own
// version where name has no slash, and does not wait for it. The child is started exactly once, when
// the turn that asks for it is durable; where that cannot be done, [Child.Wait] tells why.
//
// A child is asked to give up when this run is cancelled or terminated, unless it is [Detached]. When
// this run ends in another way, its children go on. Where ctx has ended, nothing is started.
//
// Cancelling this run does not reach a child that is spawned where the cancellation does not reach the code
// either: in an undo of a saga, with a ctx from [context.WithoutCancel], or with any ctx that is still alive
// after this run was cancelled. So an undo can work through a child. Terminating this run still ends the child.
//
// A child that a saga's step spawns belongs to the step, unless it is [Detached]: the step's undo waits
// until the child has ended, even if nothing else waits for it. Detach a child that the undo has to stop.
func Spawn[In, Out any](ctx context.Context, name string, in In, opts ...SpawnOption) *Child[Out] {
	c := &Child[Out]{name: name, turn: newGate()}
	body, err := encode(in)
	switch {
	case err != nil:
		c.wrong = fmt.Errorf("spawn %s: the input cannot be written as JSON: %w", name, err)
		return c
	case ctx.Err() != nil:
		c.wrong = context.Cause(ctx)
		return c
	}
	step := stepOf(ctx)
	if c.wrong = step.enter(); c.wrong != nil {
		return c
	}
	defer step.leave()
	var s spawning
	for _, opt := range opts {
		opt.spawn(&s)
	}
	c.detached, c.attached = s.detached, !s.detached
	o := wire.NewObject(nil)
	module, workflow, ok := strings.Cut(name, "/")
	if !ok {
		module, workflow = "", name
	}
	if module != "" {
		o.Str("module", module)
	}
	o.Str("workflow", workflow)
	if s.detached {
		o.Bool("detached", true)
	}
	if !s.detached && shielded(ctx) {
		o.Bool("shielded", true)
	}
	o.Site(site.Caller(1))
	if c.call, c.wrong = makeCall("spawn", o.End(), body); c.wrong == nil {
		c.id = RunID() + "." + strconv.Itoa(c.call)
	}
	if c.wrong == nil && c.attached {
		step.spawned(func(ctx context.Context) { _, _ = c.Wait(ctx) })
	}
	return c
}

// undoKey marks the contexts of undos.
type undoKey struct{}

// runCancelled is set when this run was told of its cancellation.
var runCancelled atomic.Bool

// shielded tells whether the cancellation of this run does not end ctx, which is alive. A context with a
// deadline of its own that is made from one without a cancellation does not tell, before the run is cancelled.
func shielded(ctx context.Context) bool {
	return ctx.Done() == nil || ctx.Value(undoKey{}) != nil || runCancelled.Load()
}

// Await returns a handle of any run, to wait for its end.
func Await[Out any](id string) *Child[Out] {
	return &Child[Out]{id: id, name: "run " + id, turn: newGate()}
}

// ID returns the id of the run, "" where it could not be asked for.
func (c *Child[Out]) ID() string { return c.id }

// Wait waits until the child has ended, or ctx ends, and returns its output. The error is a
// [*ChildError] where it ended without output, or a [*CallError]: where it could not be started, or of kind
// deadlock where it waits, perhaps by way of others, for this run. When ctx ends first it is the cause of
// ctx, and Wait may be called again. It may be called concurrently.
//
// In a saga's step, waiting for a child that this run has spawned does not end with ctx, unless the child
// is [Detached]: Wait returns how the child ended. If it returned earlier, the step's undo could overtake
// what the child still does. Cancelling this run still cancels the child.
func (c *Child[Out]) Wait(ctx context.Context) (Out, error) {
	var none Out
	if c.wrong != nil {
		return none, c.wrong
	}
	if stepOf(ctx) != nil && c.attached {
		ctx = context.WithoutCancel(ctx)
	}
	if err := c.turn.enter(ctx); err != nil {
		return none, err
	}
	defer c.turn.leave()
	return c.wait(ctx)
}

// wait is Wait for one that has entered.
func (c *Child[Out]) wait(ctx context.Context) (Out, error) {
	var none Out
	if c.over {
		return c.out, c.err
	}
	if c.call == 0 {
		if err := c.awaitEnd(); err != nil {
			return none, err
		}
	}
	if !turn.Wait(ctx, c.call) {
		return none, context.Cause(ctx)
	}
	var h wire.Head
	body, err := abi.Take(c.call, &h)
	switch {
	case err != nil:
		return none, err
	case h.Failure != nil:
		err = c.failed(h.Failure)
	case c.detached: // it was started
		c.call, c.detached = 0, false
		return c.wait(ctx)
	case len(body) > 0:
		if err = json.Unmarshal(body, &c.out); err != nil {
			err = fmt.Errorf("%s: the output of run %s does not fit %T: %w", c.name, c.id, c.out, err)
		}
	}
	c.over, c.err = true, err
	return c.out, c.err
}

func (c *Child[Out]) awaitEnd() (err error) {
	o := wire.NewObject(nil)
	o.Str("run", c.id)
	o.Site(site.Caller(3))
	c.call, err = makeCall("await", o.End(), nil)
	c.awaits = true
	return err
}

func (c *Child[Out]) failed(f *wire.Failure) error {
	switch f.Kind {
	case "failed", "cancelled", "terminated":
		return &ChildError{ID: c.id, Name: c.name, Status: f.Kind, Kind: f.Reason, Message: f.Message}
	}
	method := "spawn"
	if c.awaits {
		method = "await"
	}
	return callError(f, method, c.name, c.call)
}

// ChildError is how a child ended without output.
type ChildError struct {
	ID      string // of the child
	Name    string // module/workflow, as it was spawned
	Status  string // failed, cancelled or terminated
	Kind    string // of its failure: error, panic, trap and so on
	Message string
}

func (e *ChildError) Error() string {
	return fmt.Sprintf("%s (run %s) %s: %s", e.Name, e.ID, e.Status, e.Message)
}

// WaitAll waits for all children and returns their outputs in order, with the errors of all that
// failed joined.
func WaitAll[Out any](ctx context.Context, children ...*Child[Out]) ([]Out, error) {
	outs := make([]Out, len(children))
	var errs []error
	for i, c := range children {
		out, err := c.Wait(ctx)
		if outs[i] = out; err != nil {
			errs = append(errs, err)
		}
	}
	return outs, errors.Join(errs...)
}

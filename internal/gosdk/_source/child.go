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

// Child is a handle on another run whose output has type Out: a child started by [Spawn], or any run passed to
// [Await]. Its methods may be called concurrently.
type Child[Out any] struct {
	id       string
	name     string // module/workflow
	detached bool
	attached bool  // spawned by this run and not detached
	wrong    error // why no call was made

	turn gate // for concurrent calls of Wait
	call int  // the call whose answer Wait waits for; 0 if there is none yet

	awaits bool // the call is an await, not a spawn
	over   bool
	out    Out
	err    error
}

// SpawnOption is an option for [Spawn]: [Detached].
type SpawnOption interface{ spawn(*spawning) }

type spawning struct{ detached bool }

type spawnOption func(*spawning)

func (f spawnOption) spawn(s *spawning) { f(s) }

// Detached makes the child independent of this run: it is not cancelled when this run is cancelled or terminated.
// [Child.Wait] still returns its result.
func Detached() SpawnOption { return spawnOption(func(s *spawning) { s.detached = true }) }

// Spawn starts a child run and returns without waiting for it. name is "module/workflow", or just "workflow" for a
// workflow of this run's own module in the same version. The child is started exactly once, when the turn that calls
// Spawn is durable. If it cannot be started, [Child.Wait] returns the reason. If ctx has ended, Spawn starts nothing.
//
// A child is cancelled when this run is cancelled or terminated, unless it is [Detached]. If this run ends in any
// other way, its children continue.
//
// Cancelling this run does not cancel a child that is spawned by code that the cancellation does not reach either: in
// the undo of a saga, with a ctx from [context.WithoutCancel], or with any ctx that is still alive after this run was
// cancelled. An undo can therefore use children. Terminating this run still ends those children.
//
// A child that is spawned in a step of a saga belongs to the step unless it is [Detached]: the undo of the step waits
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

// runCancelled is set once this run has been cancelled.
var runCancelled atomic.Bool

// shielded reports whether cancelling this run does not end ctx, which is alive. It may miss a context with its own
// deadline derived from one without cancellation, as long as the run is not cancelled.
func shielded(ctx context.Context) bool {
	return ctx.Done() == nil || ctx.Value(undoKey{}) != nil || runCancelled.Load()
}

// Await returns a handle on the run with the given id, to wait for its end. It makes no call; [Child.Wait] does.
func Await[Out any](id string) *Child[Out] {
	return &Child[Out]{id: id, name: "run " + id, turn: newGate()}
}

// ID returns the id of the run, or "" if [Spawn] failed.
func (c *Child[Out]) ID() string { return c.id }

// Wait waits until the run has ended and returns its output. Calling it again returns the same result. The error is
//
//   - a [*ChildError] if the run failed or was cancelled or terminated,
//   - a [*CallError] if the run could not be started or does not exist, or, with kind [KindDeadlock], if it waits for
//     this run, directly or through other runs,
//   - the cause of ctx if ctx ends first; you can call Wait again.
//
// In a step of a saga, Wait for a child of this run that is not [Detached] does not return when ctx ends, but only
// when the child has ended. Otherwise the undo of the step could overtake the child. Cancelling this run still
// cancels the child.
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

// wait is Wait for a caller that holds the gate.
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
	case c.detached: // the spawn is answered once the child has started
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

// ChildError is the error of [Child.Wait] for a run that ended without output.
type ChildError struct {
	ID      string // id of the run
	Name    string // module/workflow as passed to Spawn, or "run ID"
	Status  string // failed, cancelled or terminated
	Kind    string // kind of the failure: error, panic, trap and so on
	Message string
}

func (e *ChildError) Error() string {
	return fmt.Sprintf("%s (run %s) %s: %s", e.Name, e.ID, e.Status, e.Message)
}

// WaitAll waits for all children, even if one fails, and returns their outputs in the same order. The error joins the
// errors of all children that have one.
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

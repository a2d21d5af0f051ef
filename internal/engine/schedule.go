package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/schedule"
	"github.com/flawless-engine/flawless/internal/store"
)

// newScheduler connects schedules with the engine.
func (e *Engine) newScheduler() *schedule.Scheduler {
	return schedule.New(schedule.Options{Engine: (*starter)(e), Owns: func(name string) error { return e.ownsName(store.KindSchedule, name) }, Context: e.life.Turns, Now: e.clockNow, Virtual: e.virtual != nil, Go: e.tasks.Go, Log: e.log,
		Put: func(ctx context.Context, name string, before, after *flawless.Schedule) error {
			return elsewhere(e.store.PutSchedule(ctx, e.lease, name, before, after))
		}})
}

// Schedules returns the scheduler.
func (e *Engine) Schedules() *schedule.Scheduler { return e.schedules }

// ListSchedules returns the schedules of all servers, sorted by name.
func (e *Engine) ListSchedules(ctx context.Context) ([]flawless.Schedule, error) {
	var stored []flawless.Schedule
	if !e.runs.OwnsAll() {
		var err error
		if stored, err = e.store.Schedules(ctx, store.AllShards()); err != nil {
			return nil, err
		}
	}
	return e.schedules.List(stored), nil
}

// starter is the Engine as its schedules see it.
type starter Engine

// startedRun is the answer to a start.
type startedRun struct {
	Run     flawless.Run `cbor:"1,keyasint"`
	Started bool         `cbor:"2,keyasint"`
}

// cancelRun is a request to cancel a run.
type cancelRun struct {
	Run    string          `cbor:"1,keyasint"`
	Cancel flawless.Cancel `cbor:"2,keyasint"`
}

// opStart starts a run for a schedule that another server owns: the id of the run decides who owns the run. opCancel cancels
// it.
var (
	opStart = peerOp[schedule.Start, startedRun]{"start run", func(e *Engine, ctx context.Context, s schedule.Start) (startedRun, error) {
		r, started, err := e.Start(ctx, startOf(s))
		return startedRun{r, started}, err
	}}
	opCancel = peerOp[cancelRun, rpc.Nothing]{"cancel run", func(e *Engine, ctx context.Context, c cancelRun) (rpc.Nothing, error) {
		_, err := e.Cancel(ctx, c.Run, c.Cancel)
		return rpc.Nothing{}, err
	}}
)

func (st *starter) Start(ctx context.Context, s schedule.Start) (flawless.Run, bool, error) {
	e := (*Engine)(st)
	r, started, err := e.Start(ctx, startOf(s))
	if !e.mayAsk(err) {
		return r, started, err
	}
	a, err := opStart.ask(ctx, e, store.ShardOf(s.ID), s)
	return a.Run, a.Started, unreachable(s.ID, err)
}

// mayAsk reports whether an error says that another server owns a run, and there are others to ask.
func (e *Engine) mayAsk(err error) bool {
	return errors.Is(err, flawless.Elsewhere) && e.hasPeers()
}

// unreachable turns the error that nobody answers for a run into flawless.Stopping: a schedule must not be taken for
// something that another server owns because one of its runs is.
func unreachable(run string, err error) error {
	if errors.Is(err, flawless.Elsewhere) {
		return fmt.Errorf("the server that owns run %s does not answer; try again in a moment: %v: %w", run, err, flawless.Stopping)
	}
	return err
}

func startOf(s schedule.Start) Start {
	return Start{Module: s.Module, Workflow: s.Workflow, Version: s.Version, Input: s.Input, ID: s.ID, Labels: s.Labels, Queue: s.Queue,
		Deadline: s.Deadline, Grace: s.Grace, schedule: s.Schedule}
}

func (st *starter) Check(ctx context.Context, s schedule.Start) error {
	m, l, _, err := (*Engine)(st).version(ctx, startOf(s))
	if err != nil {
		return err
	}
	return l.CheckInput(*m.Workflow(s.Workflow), s.Input)
}

func (st *starter) Cancel(ctx context.Context, run string, c flawless.Cancel) error {
	e := (*Engine)(st)
	_, err := e.Cancel(ctx, run, c)
	if e.mayAsk(err) {
		_, err = opCancel.ask(ctx, e, store.ShardOf(run), cancelRun{run, c})
		err = unreachable(run, err)
	}
	return err
}

func (st *starter) Run(ctx context.Context, id string) (flawless.Run, error) {
	return (*Engine)(st).Run(ctx, id)
}

// Wait looks every second whether a run of another server has ended.
func (st *starter) Wait(ctx context.Context, id string) {
	for {
		_, err := (*Engine)(st).Wait(ctx, id)
		if !errors.Is(err, flawless.Elsewhere) {
			return
		}
		if h, err := st.store.Head(ctx, id); err != nil || h.Run.Status.Ended() {
			return
		}
		wait := time.NewTimer(time.Second)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}

func (st *starter) Owns(id string) bool { return st.runs.Owns(id) == nil }

func (st *starter) StartedBy(ctx context.Context, id string) (string, error) {
	s, err := (*Engine)(st).begun(ctx, id)
	if err != nil {
		return "", err
	}
	return s.Schedule, nil
}

func (st *starter) Known(ctx context.Context, id string) bool {
	_, err := st.store.Head(ctx, id)
	return err == nil
}

func (st *starter) Accepts() error {
	if err := st.life.Accept(); err != nil {
		return err
	}
	return st.history.CheckSchedules()
}

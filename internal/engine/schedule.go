package engine

import (
	"context"
	"errors"
	"time"

	"github.com/flawless-engine/flawless"
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

// Start starts the run of a schedule. The id of a scheduled run follows from its time, so it may belong to another server.
func (st *starter) Start(ctx context.Context, s schedule.Start) (flawless.Run, bool, error) {
	run, started, err := (*Engine)(st).Start(ctx, startOf(s))
	if errors.Is(err, flawless.Elsewhere) {
		var out scheduledRun
		out, err = startOp.ask(ctx, (*Engine)(st), store.ShardOf(s.ID), s)
		run, started = out.Run, out.Started
	}
	return run, started, err
}

// scheduledRun is the answer to startOp.
type scheduledRun struct {
	Run     flawless.Run
	Started bool
}

// startOp starts the run of a schedule. Repeating it finds the run.
var startOp = peerOp[schedule.Start, scheduledRun]{"start", func(e *Engine, ctx context.Context, in schedule.Start) (out scheduledRun, err error) {
	out.Run, out.Started, err = e.Start(ctx, startOf(in))
	return out, err
}}

// replaceOp cancels the run of a schedule whose next time has come.
var replaceOp = peerOp[replaced, nothing]{"replace", func(e *Engine, ctx context.Context, in replaced) (out nothing, err error) {
	_, err = e.Cancel(ctx, in.Run, in.Cancel)
	return out, err
}}

type replaced struct {
	Run    string
	Cancel flawless.Cancel
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
	_, err := (*Engine)(st).Cancel(ctx, run, c)
	if errors.Is(err, flawless.Elsewhere) {
		_, err = replaceOp.ask(ctx, (*Engine)(st), store.ShardOf(run), replaced{run, c})
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
	return (*Engine)(st).checkHistory("of a schedule")
}

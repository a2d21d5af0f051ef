package engine

import (
	"context"

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

// starter is the Engine as its schedules see it.
type starter Engine

func (st *starter) Start(ctx context.Context, s schedule.Start) (flawless.Run, bool, error) {
	return (*Engine)(st).Start(ctx, startOf(s))
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
	return err
}

func (st *starter) Run(ctx context.Context, id string) (flawless.Run, error) {
	return (*Engine)(st).Run(ctx, id)
}

func (st *starter) Wait(ctx context.Context, id string) { _, _ = (*Engine)(st).Wait(ctx, id) }

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
	return st.history.Check("of a schedule")
}

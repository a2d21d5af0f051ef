package engine

import (
	"context"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/schedule"
)

// newScheduler connects the schedules with this engine.
func (e *Engine) newScheduler() *schedule.Scheduler {
	return schedule.New(schedule.Options{Engine: (*departures)(e), Stored: e.store.Schedules, Context: e.life.Turns, Now: e.clockNow, Virtual: e.virtual != nil, Go: e.tasks.Go, Log: e.log,
		Put: func(ctx context.Context, name string, before, after *flawless.Schedule) error {
			return e.store.PutSchedule(ctx, e.lease, name, before, after)
		}})
}

// SetSchedule adds a schedule. Where there is one of that name it is flawless.Conflict, unless
// replace is set: then it takes over its place, its counts, its open runs and a time that waits. Its first
// time is the first one from now on; with the cron expression of the one before it is the next one of that.
// Errors say what of it cannot be taken. A crash in the middle leaves it added or not.
func (e *Engine) SetSchedule(ctx context.Context, s flawless.Schedule, replace bool) (flawless.Schedule, error) {
	return e.schedules.Set(ctx, s, replace)
}

// Schedules returns all schedules, by name.
func (e *Engine) Schedules(context.Context) ([]flawless.Schedule, error) {
	return e.schedules.List(), nil
}

// Schedule returns a schedule, or flawless.NotFound.
func (e *Engine) Schedule(_ context.Context, name string) (flawless.Schedule, error) {
	return e.schedules.Get(name)
}

// RemoveSchedule removes a schedule. Its runs are left alone.
func (e *Engine) RemoveSchedule(ctx context.Context, name string) error {
	return e.schedules.Remove(ctx, name)
}

// PauseSchedule keeps a schedule from starting runs. A time that waits for a run before it is
// forgotten.
func (e *Engine) PauseSchedule(_ context.Context, name, note string) (flawless.Schedule, error) {
	return e.schedules.Pause(name, note)
}

// ResumeSchedule lets a schedule go on with its next time. Times that came while it was paused are
// not made up for: backfill them.
func (e *Engine) ResumeSchedule(_ context.Context, name string) (flawless.Schedule, error) {
	return e.schedules.Resume(name)
}

// TriggerSchedule starts a run of a schedule at once, whatever is open and also where it is paused.
// The same key starts one run, however often it is asked for; "" makes one up.
func (e *Engine) TriggerSchedule(ctx context.Context, name, key string) (run flawless.Run, started bool, err error) {
	return e.schedules.Trigger(ctx, name, key)
}

// BackfillSchedule starts a run for each time of a schedule from one moment (inclusive) until another
// (exclusive) that has none yet, side by side and without jitter. It is flawless.Invalid for more than
// 1,000 times and for times to come. After a crash in the middle some of the runs are there; asking
// again starts the others.
func (e *Engine) BackfillSchedule(ctx context.Context, name string, from, to time.Time) (schedule.Backfill, error) {
	return e.schedules.Backfill(ctx, name, from, to)
}

// departures is an Engine as its schedules see it.
type departures Engine

func (d *departures) Start(ctx context.Context, s schedule.Start) (flawless.Run, bool, error) {
	return (*Engine)(d).Start(ctx, departing(s))
}

func departing(s schedule.Start) Start {
	return Start{Module: s.Module, Workflow: s.Workflow, Version: s.Version, Input: s.Input, ID: s.ID, Labels: s.Labels, Place: s.Place,
		Deadline: s.Deadline, Grace: s.Grace, schedule: s.Schedule}
}

func (d *departures) Check(ctx context.Context, s schedule.Start) error {
	m, l, err := (*Engine)(d).version(ctx, departing(s))
	if err != nil {
		return err
	}
	return l.CheckInput(*m.Workflow(s.Workflow), s.Input)
}

func (d *departures) Cancel(ctx context.Context, run string, c flawless.Cancel) error {
	_, err := (*Engine)(d).Cancel(ctx, run, c)
	return err
}

func (d *departures) Run(ctx context.Context, id string) (flawless.Run, error) {
	return (*Engine)(d).Run(ctx, id)
}

func (d *departures) Wait(ctx context.Context, id string) { _, _ = (*Engine)(d).Wait(ctx, id) }

func (d *departures) StartedBy(ctx context.Context, id string) (string, error) {
	s, err := (*Engine)(d).begun(ctx, id)
	if err != nil {
		return "", err
	}
	return s.Schedule, nil
}

func (d *departures) Known(ctx context.Context, id string) bool {
	_, err := d.store.Head(ctx, id)
	return err == nil
}

func (d *departures) Accepts() error { return d.life.Accept() }

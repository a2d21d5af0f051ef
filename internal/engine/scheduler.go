package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/flawless-engine/flawless"
)

// scheduler starts the runs of all schedules. One goroutine looks at those whose time has come;
// people change a schedule beside it, one at a time.
type scheduler struct {
	e    *Engine
	kick chan struct{}

	mu    sync.Mutex
	all   map[string]*scheduled
	since time.Time // the server has been up since, and its clock did not go ahead
}

const (
	// hop is how far the clock has to leave the time that passes before it was set: less is drift.
	hop = shortCatchUp
	// watchClock is how soon it is noticed that the clock was set.
	watchClock = 30 * time.Second
)

// scheduled is a schedule in memory.
type scheduled struct {
	mu     sync.Mutex // held over a change and its write
	t      timetable
	stored *flawless.Schedule // nil: it is not there, or not any more
	wake   time.Time          // zero is never
	ends   bool               // somebody waits for the run before to end
}

func (c *scheduler) init(e *Engine) {
	c.e, c.kick, c.all = e, make(chan struct{}, 1), map[string]*scheduled{}
}

// load reads all schedules.
func (c *scheduler) load(ctx context.Context) error {
	all, err := c.e.store.Schedules(ctx)
	if err != nil {
		return err
	}
	c.since = c.e.clockNow()
	for _, s := range all {
		t, err := newTimetable(s.Clone()) // which changes its runs in place
		if err != nil {                   // it was understood once: the database of time zones has changed
			c.e.log.Error("a schedule cannot be kept", "name", s.Name, "error", err)
			continue
		}
		c.all[s.Name] = &scheduled{t: t, stored: &s, wake: time.Unix(0, 1)}
	}
	return nil
}

// run looks at schedules when their time comes, until the engine stops.
func (c *scheduler) run() {
	wall, passed := c.e.clockNow(), time.Now()
	for {
		if c.e.virtual == nil {
			c.follow(c.e.clockNow().Round(0).Sub(wall.Round(0)) - time.Since(passed))
		}
		wall, passed = c.e.clockNow(), time.Now()
		wake := c.round(wall)
		longest := watchClock
		if len(c.list()) == 0 {
			longest = time.Hour
		}
		wait := time.NewTimer(max(0, min(longest, wake.Sub(c.e.clockNow()))))
		select {
		case <-c.e.ctx.Done():
			wait.Stop()
			return
		case <-c.kick:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// follow looks at all schedules anew where the clock was set, by so much. A machine that was suspended looks
// like one whose clock was set ahead: no server was up in the meantime.
func (c *scheduler) follow(set time.Duration) {
	if set.Abs() < hop {
		return
	}
	now := c.e.clockNow()
	c.mu.Lock()
	c.since = now
	c.mu.Unlock()
	all := c.list()
	for _, s := range all {
		s.mu.Lock()
		s.wake = time.Unix(0, 1)
		s.mu.Unlock()
	}
	if len(all) > 0 {
		c.e.log.Warn("the clock was set, or the machine was suspended: all schedules are looked at", "by", set.Round(time.Second).String(), "now", now)
	}
}

// round looks at all schedules whose time has come, and returns when the next one does.
func (c *scheduler) round(now time.Time) time.Time {
	atOnce := semaphore.NewWeighted(16)
	var done sync.WaitGroup
	next := now.Add(time.Hour)
	var mu sync.Mutex
	for _, s := range c.list() {
		if atOnce.Acquire(c.e.ctx, 1) != nil {
			break
		}
		done.Go(func() {
			defer atOnce.Release(1)
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.stored == nil {
				return
			}
			if !s.wake.IsZero() && !s.wake.After(now) {
				s.wake = c.depart(s)
			}
			mu.Lock()
			defer mu.Unlock()
			if !s.wake.IsZero() && s.wake.Before(next) {
				next = s.wake
			}
		})
	}
	done.Wait()
	return next
}

func (c *scheduler) list() []*scheduled {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*scheduled, 0, len(c.all))
	for _, s := range c.all {
		all = append(all, s)
	}
	return all
}

// depart does what a schedule has to do by now, and returns when to look at it again. The caller
// holds s.mu.
func (c *scheduler) depart(s *scheduled) time.Time {
	const soon = time.Second // after something that will not last
	c.mu.Lock()
	since := c.since
	c.mu.Unlock()
	for _, event := range s.t.settle(c.e.clockNow(), since) {
		c.e.log.Warn("schedule adjusted", "schedule", s.t.Name, "why", event)
	}
	had := func(at time.Time) bool { return c.known(s.t.runID(at)) }
	for c.e.accepts() == nil {
		c.prune(s)
		d := s.t.next(c.e.clockNow(), had)
		for _, id := range d.cancel {
			if _, err := c.e.Cancel(c.e.ctx, id, flawless.Cancel{Who: "schedule " + s.t.Name, Note: "its next time has come"}); passing(err) {
				return c.e.clockNow().Add(soon)
			}
		}
		if d.start.IsZero() {
			if c.keep(s) != nil {
				return c.e.clockNow().Add(soon)
			}
			c.attend(s)
			return d.wake
		}
		id := s.t.runID(d.start)
		problem := ""
		_, started, err := c.e.Start(c.e.ctx, s.t.departing(id, c.e.clockNow()))
		if !started && !passing(err) && (err == nil || c.known(id)) {
			err = c.foreign(s.t.Name, id) // else it was started by an engine that had no time to say so
		}
		switch {
		case passing(err):
			return c.e.clockNow().Add(soon)
		case err != nil:
			problem = fmt.Sprintf("the run for %s could not be started: %v", d.start.UTC().Format(time.RFC3339), err)
			c.e.log.Warn("a scheduled run could not be started", "schedule", s.t.Name, "run", id, "error", err)
		}
		s.t.arrive(d.start, id, problem)
		if c.keep(s) != nil {
			return c.e.clockNow().Add(soon)
		}
	}
	return c.e.clockNow().Add(soon)
}

// passing tells whether an error says nothing about what was asked for: the same will work later.
func passing(err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, flawless.Stopping), errors.Is(err, flawless.Full), errors.Is(err, flawless.Fenced), errors.Is(err, context.Canceled):
		return true
	}
	return flawless.CodeOf(err) == ""
}

// known tells whether there is a run of this id.
func (c *scheduler) known(id string) bool {
	_, err := c.e.store.Head(c.e.ctx, id)
	return err == nil
}

// foreignRun says that the id of a schedule's run is taken. It is flawless.Conflict.
type foreignRun struct{ schedule, id string }

func (f *foreignRun) Error() string {
	return fmt.Sprintf("its id %s is taken by a run that schedule %s has not started; start one by hand if it is needed", f.id, f.schedule)
}

func (f *foreignRun) Unwrap() error { return flawless.Conflict }

// foreign returns an error where the run of an id was started by somebody else than the schedule. A run
// that is removed by now has left no word about that: such an id was the schedule's to give.
func (c *scheduler) foreign(schedule, id string) error {
	if !c.known(id) {
		return nil
	}
	s, err := c.e.begun(c.e.ctx, id)
	switch {
	case errors.Is(err, flawless.Damaged):
		return nil // its first words cannot be read
	case err != nil:
		return err
	case s.Schedule != schedule:
		return &foreignRun{schedule, id}
	}
	return nil
}

// prune forgets the runs that have ended.
func (c *scheduler) prune(s *scheduled) {
	s.t.Open = slices.DeleteFunc(s.t.Open, func(id string) bool {
		r, err := c.e.Run(c.e.ctx, id)
		return err == nil && r.Status.Ended() || errors.Is(err, flawless.NotFound)
	})
}

// keep writes a schedule as it is now, where that is not what is stored.
func (c *scheduler) keep(s *scheduled) error {
	after := s.t.Clone()
	after.Next = nil
	if s.stored != nil && reflect.DeepEqual(after, *s.stored) {
		return nil
	}
	if err := c.e.store.PutSchedule(c.e.ctx, c.e.lease, s.t.Name, s.stored, &after); err != nil {
		if c.e.ctx.Err() == nil {
			c.e.log.Error("a schedule could not be written", "name", s.t.Name, "error", err)
		}
		return err
	}
	s.stored = &after
	return nil
}

// attend looks at the schedule again when the run before has ended, where something waits for that.
// The caller holds s.mu.
func (c *scheduler) attend(s *scheduled) {
	if s.t.Queued == nil || len(s.t.Open) == 0 || s.ends {
		return
	}
	s.ends = true
	id := s.t.Open[0]
	c.e.tasks.Go(func() {
		_, _ = c.e.Wait(c.e.ctx, id) // whatever the reason, the run is looked at
		s.mu.Lock()
		s.ends, s.wake = false, time.Unix(0, 1)
		s.mu.Unlock()
		poke(c.kick)
	})
}

package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/task"
)

// Start asks for a run of a schedule.
type Start struct {
	Schedule, ID     string
	Module, Workflow string
	Version          string
	Input            json.RawMessage
	Labels           map[string]string
	Place            flawless.Place
	Deadline         time.Time // zero is never
	Grace            time.Duration
}

// Engine is what a Scheduler needs of an engine.
type Engine interface {
	// Start accepts a run. Where there is one of that id already it returns false.
	Start(ctx context.Context, s Start) (flawless.Run, bool, error)
	// Check tells whether there is such a workflow, and it takes the input.
	Check(ctx context.Context, s Start) error
	Cancel(ctx context.Context, run string, c flawless.Cancel) error
	Run(ctx context.Context, id string) (flawless.Run, error)
	// Wait returns when a run has ended, or cannot be waited for.
	Wait(ctx context.Context, id string)
	// StartedBy returns the schedule that started a run, "" where none did.
	StartedBy(ctx context.Context, id string) (schedule string, err error)
	// Known tells whether the store has a run of that id.
	Known(ctx context.Context, id string) bool
	// Accepts returns nil where new work is taken.
	Accepts() error
}

// Options says what a Scheduler works with.
type Options struct {
	Engine  Engine
	Stored  func(ctx context.Context) ([]flawless.Schedule, error)
	Put     func(ctx context.Context, name string, before, after *flawless.Schedule) error // after nil removes it
	Context context.Context                                                                // ends with the engine
	Now     func() time.Time
	Virtual bool           // Now is a virtual clock, which nobody sets
	Go      func(f func()) // runs f in a goroutine of the engine
	Log     *slog.Logger
}

// Scheduler starts the runs of all schedules. One goroutine looks at those whose time has come; people change a
// schedule beside it, one at a time. All methods may be called concurrently.
type Scheduler struct {
	o    Options
	kick chan struct{}

	mu    sync.Mutex // guards all and since
	all   map[string]*scheduled
	since time.Time // the server has been up since, and its clock did not go ahead
}

// New returns a Scheduler that knows of no schedule.
func New(o Options) *Scheduler {
	return &Scheduler{o: o, kick: make(chan struct{}, 1), all: map[string]*scheduled{}}
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

// Load reads all schedules. Call it before Serve.
func (c *Scheduler) Load(ctx context.Context) error {
	all, err := c.o.Stored(ctx)
	if err != nil {
		return err
	}
	c.since = c.o.Now()
	for _, s := range all {
		t, err := newTimetable(s.Clone()) // which changes its runs in place
		if err != nil {                   // it was understood once: the database of time zones has changed
			c.o.Log.Error("loading a schedule failed", "name", s.Name, "error", err)
			continue
		}
		c.all[s.Name] = &scheduled{t: t, stored: &s, wake: time.Unix(0, 1)}
	}
	return nil
}

// Serve looks at schedules when their time comes, until the engine stops.
func (c *Scheduler) Serve() {
	wall, passed := c.o.Now(), time.Now()
	for {
		if !c.o.Virtual {
			c.follow(c.o.Now().Round(0).Sub(wall.Round(0)) - time.Since(passed))
		}
		wall, passed = c.o.Now(), time.Now()
		wake := c.round(wall)
		longest := watchClock
		if len(c.list()) == 0 {
			longest = time.Hour
		}
		wait := time.NewTimer(max(0, min(longest, wake.Sub(c.o.Now()))))
		select {
		case <-c.o.Context.Done():
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
func (c *Scheduler) follow(set time.Duration) {
	if set.Abs() < hop {
		return
	}
	now := c.o.Now()
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
		c.o.Log.Warn("clock jump detected, re-evaluating all schedules", "by", set.Round(time.Second).String(), "now", now)
	}
}

// round looks at all schedules whose time has come, and returns when the next one does.
func (c *Scheduler) round(now time.Time) time.Time {
	atOnce := semaphore.NewWeighted(16)
	var done sync.WaitGroup
	next := now.Add(time.Hour)
	var mu sync.Mutex
	for _, s := range c.list() {
		if atOnce.Acquire(c.o.Context, 1) != nil {
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

func (c *Scheduler) list() []*scheduled {
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
func (c *Scheduler) depart(s *scheduled) time.Time {
	const soon = time.Second // after something that will not last
	c.mu.Lock()
	since := c.since
	c.mu.Unlock()
	for _, event := range s.t.settle(c.o.Now(), since) {
		c.o.Log.Warn("schedule adjusted", "schedule", s.t.Name, "why", event)
	}
	had := func(at time.Time) bool { return c.known(s.t.runID(at)) }
	for c.o.Engine.Accepts() == nil {
		c.prune(s)
		d := s.t.next(c.o.Now(), had)
		for _, id := range d.cancel {
			if err := c.o.Engine.Cancel(c.o.Context, id, flawless.Cancel{Who: "schedule " + s.t.Name, Note: "its next time has come"}); passing(err) {
				return c.o.Now().Add(soon)
			}
		}
		if d.start.IsZero() {
			if c.keep(s) != nil {
				return c.o.Now().Add(soon)
			}
			c.attend(s)
			return d.wake
		}
		id := s.t.runID(d.start)
		problem := ""
		_, started, err := c.o.Engine.Start(c.o.Context, s.t.departing(id, c.o.Now()))
		if !started && !passing(err) && (err == nil || c.known(id)) {
			err = c.foreign(s.t.Name, id) // else it was started by an engine that had no time to say so
		}
		switch {
		case passing(err):
			return c.o.Now().Add(soon)
		case err != nil:
			problem = fmt.Sprintf("the run for %s could not be started: %v", d.start.UTC().Format(time.RFC3339), err)
			c.o.Log.Warn("starting a scheduled run failed", "schedule", s.t.Name, "run", id, "error", err)
		}
		s.t.arrive(d.start, id, problem)
		if c.keep(s) != nil {
			return c.o.Now().Add(soon)
		}
	}
	return c.o.Now().Add(soon)
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
func (c *Scheduler) known(id string) bool { return c.o.Engine.Known(c.o.Context, id) }

// foreignRun says that the id of a schedule's run is taken. It is flawless.Conflict.
type foreignRun struct{ schedule, id string }

func (f *foreignRun) Error() string {
	return fmt.Sprintf("its id %s is used by a run that schedule %s did not start; start a run by hand if you need it", f.id, f.schedule)
}

func (f *foreignRun) Unwrap() error { return flawless.Conflict }

// foreign returns an error where the run of an id was started by somebody else than the schedule. A run
// that is removed by now has left no word about that: such an id was the schedule's to give.
func (c *Scheduler) foreign(schedule, id string) error {
	if !c.known(id) {
		return nil
	}
	by, err := c.o.Engine.StartedBy(c.o.Context, id)
	switch {
	case errors.Is(err, flawless.Damaged):
		return nil // its first words cannot be read
	case err != nil:
		return err
	case by != schedule:
		return &foreignRun{schedule, id}
	}
	return nil
}

// prune forgets the runs that have ended.
func (c *Scheduler) prune(s *scheduled) {
	s.t.Open = slices.DeleteFunc(s.t.Open, func(id string) bool {
		r, err := c.o.Engine.Run(c.o.Context, id)
		return err == nil && r.Status.Ended() || errors.Is(err, flawless.NotFound)
	})
}

// keep writes a schedule as it is now, where that is not what is stored.
func (c *Scheduler) keep(s *scheduled) error {
	after := s.t.Clone()
	after.Next = nil
	if s.stored != nil && reflect.DeepEqual(after, *s.stored) {
		return nil
	}
	if err := c.o.Put(c.o.Context, s.t.Name, s.stored, &after); err != nil {
		if c.o.Context.Err() == nil {
			c.o.Log.Error("writing a schedule failed", "name", s.t.Name, "error", err)
		}
		return err
	}
	s.stored = &after
	return nil
}

// attend looks at the schedule again when the run before has ended, where something waits for that.
// The caller holds s.mu.
func (c *Scheduler) attend(s *scheduled) {
	if s.t.Queued == nil || len(s.t.Open) == 0 || s.ends {
		return
	}
	s.ends = true
	id := s.t.Open[0]
	c.o.Go(func() {
		c.o.Engine.Wait(c.o.Context, id) // whatever the reason, the run is looked at
		s.mu.Lock()
		s.ends, s.wake = false, time.Unix(0, 1)
		s.mu.Unlock()
		task.Poke(c.kick)
	})
}

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

// Start describes a run to start for a schedule.
type Start struct {
	Schedule, ID     string
	Module, Workflow string
	Version          string
	Input            json.RawMessage
	Labels           map[string]string
	Queue            flawless.QueueOptions
	Deadline         time.Time // zero is never
	Grace            time.Duration
}

// Engine is what a Scheduler needs of an engine.
type Engine interface {
	// Start accepts a run, wherever it belongs. It returns false if the id already exists.
	Start(ctx context.Context, s Start) (flawless.Run, bool, error)
	// Check returns an error if there is no such workflow or it does not accept the input.
	Check(ctx context.Context, s Start) error
	Cancel(ctx context.Context, run string, c flawless.Cancel) error
	// Owns reports whether a run with this id is one of this server.
	Owns(run string) bool
	Run(ctx context.Context, id string) (flawless.Run, error)
	// Wait returns when the run has ended or cannot be waited for.
	Wait(ctx context.Context, id string)
	// StartedBy returns the schedule that started a run, or "".
	StartedBy(ctx context.Context, id string) (schedule string, err error)
	// Known reports whether the store has the run.
	Known(ctx context.Context, id string) bool
	// Accepts returns nil if the engine accepts new work.
	Accepts() error
}

// Options configures a Scheduler.
type Options struct {
	Engine Engine
	// Owns returns nil if this server runs the schedule of a name, else which one does.
	Owns    func(name string) error
	Put     func(ctx context.Context, name string, before, after *flawless.Schedule) error // a nil after removes it
	Context context.Context                                                                // ends with the engine
	Now     func() time.Time
	Virtual bool           // Now is a virtual clock, which never jumps
	Go      func(f func()) // runs f in a goroutine of the engine
	Log     *slog.Logger
}

// Scheduler starts the runs of all schedules. One goroutine handles due schedules; API calls change a schedule
// concurrently, one at a time. All methods may be called concurrently.
type Scheduler struct {
	o    Options
	kick chan struct{}

	mu    sync.Mutex // guards all and since
	all   map[string]*scheduled
	since time.Time // since when the server has been up with a correct clock
}

// New returns a Scheduler without schedules.
func New(o Options) *Scheduler {
	return &Scheduler{o: o, kick: make(chan struct{}, 1), all: map[string]*scheduled{}}
}

const (
	// hop is the difference between wall clock and elapsed time above which the clock was set; less is drift.
	hop = flawless.MinCatchUp
	// watchClock is how often the clock is checked for a change.
	watchClock = 30 * time.Second
)

// scheduled is a schedule in memory.
type scheduled struct {
	mu     sync.Mutex // held during a change and its write
	t      timetable
	stored *flawless.Schedule // nil if it is not stored or was removed
	wake   time.Time          // zero is never
	ends   bool               // a goroutine waits for the previous run to end
}

// Load adds schedules as the store has them.
func (c *Scheduler) Load(stored []flawless.Schedule) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		c.since = c.o.Now()
	}
	for _, s := range stored {
		if c.all[s.Name] != nil {
			continue
		}
		t, err := newTimetable(s.Clone()) // clone, because the timetable modifies its runs in place
		if err != nil {                   // it was valid when stored: the time zone database has changed
			c.o.Log.Error("loading a schedule failed", "schedule", s.Name, "error", err)
			continue
		}
		c.all[s.Name] = &scheduled{t: t, stored: &s, wake: time.Unix(0, 1)}
	}
	task.Poke(c.kick)
}

// Abandon forgets schedules that another server runs. When it returns, nothing is written for them.
func (c *Scheduler) Abandon(gone func(name string) bool) {
	var dropped []*scheduled
	c.mu.Lock()
	for name, s := range c.all {
		if gone(name) {
			delete(c.all, name)
			dropped = append(dropped, s)
		}
	}
	c.mu.Unlock()
	for _, s := range dropped {
		s.mu.Lock()
		s.stored = nil
		s.mu.Unlock()
	}
}

// Serve handles schedules when they are due, until the engine stops.
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

// follow re-evaluates all schedules if the clock was set by the given difference. A suspended machine looks like one
// whose clock was set ahead: in both cases no server was up in between.
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

// round handles all due schedules and returns when the next one is due.
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

// depart starts what is due in a schedule and returns when to look again. The caller holds s.mu.
func (c *Scheduler) depart(s *scheduled) time.Time {
	const soon = time.Second // delay after a transient error
	c.mu.Lock()
	since := c.since
	c.mu.Unlock()
	for _, event := range s.t.settle(c.o.Now(), since) {
		c.o.Log.Warn("schedule adjusted", "schedule", s.t.Name, "reason", event)
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
			err = c.foreign(s.t.Name, id) // otherwise an engine started it and crashed before storing that
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

// passing reports whether an error is transient: the same request can succeed later.
func passing(err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, flawless.Stopping), errors.Is(err, flawless.Full), errors.Is(err, flawless.Fenced), errors.Is(err, flawless.Elsewhere), errors.Is(err, context.Canceled):
		return true
	}
	return flawless.CodeOf(err) == ""
}

// known reports whether there is a run with this id.
func (c *Scheduler) known(id string) bool { return c.o.Engine.Known(c.o.Context, id) }

// foreignRun is the error for a schedule's run id that is already taken. It wraps flawless.Conflict.
type foreignRun struct{ schedule, id string }

func (f *foreignRun) Error() string {
	return fmt.Sprintf("its id %s is used by a run that schedule %s did not start; start a run by hand if you need it", f.id, f.schedule)
}

func (f *foreignRun) Unwrap() error { return flawless.Conflict }

// foreign returns an error if somebody other than the schedule started the run. For a removed run that is unknown, and
// the id counts as the schedule's.
func (c *Scheduler) foreign(schedule, id string) error {
	if !c.known(id) {
		return nil
	}
	by, err := c.o.Engine.StartedBy(c.o.Context, id)
	switch {
	case errors.Is(err, flawless.Damaged):
		return nil // its start cannot be read
	case err != nil:
		return err
	case by != schedule:
		return &foreignRun{schedule, id}
	}
	return nil
}

// prune removes ended runs from the list of open ones.
func (c *Scheduler) prune(s *scheduled) {
	s.t.Open = slices.DeleteFunc(s.t.Open, func(id string) bool {
		r, err := c.o.Engine.Run(c.o.Context, id)
		return err == nil && r.Status.Ended() || errors.Is(err, flawless.NotFound)
	})
}

// keep stores a schedule if it has changed.
func (c *Scheduler) keep(s *scheduled) error {
	after := s.t.Clone()
	after.Next = nil
	if s.stored != nil && reflect.DeepEqual(after, *s.stored) {
		return nil
	}
	if err := c.o.Put(c.o.Context, s.t.Name, s.stored, &after); err != nil {
		if c.o.Context.Err() == nil {
			c.o.Log.Error("writing a schedule failed", "schedule", s.t.Name, "error", err)
		}
		return err
	}
	s.stored = &after
	return nil
}

// attend re-evaluates the schedule when the previous run has ended, if a time is queued. The caller holds s.mu.
func (c *Scheduler) attend(s *scheduled) {
	if s.t.Queued == nil || len(s.t.Open) == 0 || s.ends {
		return
	}
	s.ends = true
	id := s.t.Open[0]
	c.o.Go(func() {
		c.o.Engine.Wait(c.o.Context, id) // why it returns does not matter: depart checks the run
		s.mu.Lock()
		s.ends, s.wake = false, time.Unix(0, 1)
		s.mu.Unlock()
		task.Poke(c.kick)
	})
}

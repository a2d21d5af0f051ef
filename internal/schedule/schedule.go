package schedule

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/task"
)

const (
	defaultCatchUp = time.Hour
	maxBackfill    = 1000

	defaultCatchUpLimit = 100
)

// Set adds a schedule. If the name exists, it returns flawless.Conflict, unless replace is set: then the new schedule
// keeps the counts, the open runs and a queued time of the old one. Its first time is the next one from now; if the
// cron expression is unchanged, it is the next one of the old schedule. After a crash the schedule is stored or not.
func (c *Scheduler) Set(ctx context.Context, s flawless.Schedule, replace bool) (flawless.Schedule, error) {
	if err := cmp.Or(c.o.Engine.Accepts(), c.o.Owns(s.Name)); err != nil {
		return flawless.Schedule{}, err
	}
	t, err := c.check(ctx, s)
	if err != nil {
		return flawless.Schedule{}, fmt.Errorf("adding schedule %.200q: %w", s.Name, err)
	}
	c.mu.Lock()
	one := c.all[s.Name]
	if one == nil {
		one = &scheduled{}
		c.all[s.Name] = one
	}
	c.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.stored != nil {
		if !replace {
			return flawless.Schedule{}, fmt.Errorf("adding schedule %s: it already exists; remove it, or replace it with --replace: %w", s.Name, flawless.Conflict)
		}
		t.replaces(&one.t, c.o.Now())
	}
	before := one.t
	one.t = t
	if err := c.keep(one); err != nil {
		one.t = before
		return flawless.Schedule{}, err
	}
	c.adopt(one)
	return one.t.shown(), nil
}

// adopt makes Serve look at a changed schedule. The caller holds s.mu.
func (c *Scheduler) adopt(s *scheduled) {
	c.mu.Lock()
	c.all[s.t.Name] = s
	c.mu.Unlock()
	s.wake = time.Unix(0, 1)
	task.Poke(c.kick)
}

// check validates a new schedule and returns its timetable with all defaults.
func (c *Scheduler) check(ctx context.Context, s flawless.Schedule) (timetable, error) {
	if err := flawless.CheckName("a schedule's name", s.Name); err != nil {
		return timetable{}, err
	}
	now := c.o.Now().UTC()
	n := flawless.Schedule{Name: s.Name, Cron: s.Cron, Zone: cmp.Or(s.Zone, "UTC"), Module: s.Module, Workflow: s.Workflow, Input: bytes.Clone(s.Input),
		Overlap: cmp.Or(s.Overlap, flawless.Skip), JitterMS: s.JitterMS, CatchUpMS: cmp.Or(s.CatchUpMS, defaultCatchUp.Milliseconds()), CatchUpLimit: cmp.Or(s.CatchUpLimit, defaultCatchUpLimit),
		Paused: s.Paused, Note: s.Note, Labels: maps.Clone(s.Labels), Version: s.Version, DeadlineMS: s.DeadlineMS, GraceMS: s.GraceMS, Created: now, Done: now}
	if len(n.Input) == 0 {
		n.Input = json.RawMessage("null")
	}
	if s.Queue != nil && *s.Queue != (flawless.QueueOptions{}) {
		place := *s.Queue
		n.Queue = &place
	}
	switch {
	case !slices.Contains(flawless.Overlaps, n.Overlap):
		return timetable{}, fmt.Errorf("the overlap policy is %.100q; use one of %v: %w", n.Overlap, flawless.Overlaps, flawless.Invalid)
	case n.JitterMS < 0 || n.JitterMS > flawless.MaxJitter.Milliseconds():
		return timetable{}, fmt.Errorf("the jitter is %d ms; use at most %v: %w", n.JitterMS, flawless.MaxJitter, flawless.Invalid)
	case n.CatchUpMS < flawless.MinCatchUp.Milliseconds() || n.CatchUpMS > flawless.MaxDeadline.Milliseconds():
		return timetable{}, fmt.Errorf("the catch-up window is %d ms; use %v to 10 years: %w", n.CatchUpMS, flawless.MinCatchUp, flawless.Invalid)
	case n.CatchUpLimit < 1 || n.CatchUpLimit > flawless.MaxCatchUpLimit:
		return timetable{}, fmt.Errorf("the catch-up limit is %d; use 1 to %d: %w", n.CatchUpLimit, flawless.MaxCatchUpLimit, flawless.Invalid)
	case n.DeadlineMS < 0 || n.DeadlineMS > flawless.MaxDeadline.Milliseconds():
		return timetable{}, fmt.Errorf("the deadline is %d ms after the start of a run; use 1 ms to 10 years: %w", n.DeadlineMS, flawless.Invalid)
	case n.GraceMS < 0 || n.GraceMS > flawless.MaxDeadline.Milliseconds():
		return timetable{}, fmt.Errorf("the grace period is %d ms; use 1 ms to 10 years: %w", n.GraceMS, flawless.Invalid)
	case n.GraceMS > 0 && n.DeadlineMS == 0:
		return timetable{}, fmt.Errorf("a grace period needs a deadline; set one: %w", flawless.Invalid)
	case n.Note != "" && !n.Paused:
		return timetable{}, fmt.Errorf("the note %.100q is for the reason of a pause, but the schedule is not paused: %w", n.Note, flawless.Invalid)
	}
	t, err := newTimetable(n)
	if err == nil {
		err = flawless.CheckLabels(t.runLabels())
	}
	if err == nil && n.Queue != nil {
		err = n.Queue.Check()
	}
	if err != nil {
		return t, err
	}
	if _, ok := t.cron.Next(now); !ok {
		return t, fmt.Errorf("the cron expression %q never matches in the coming years: %w", n.Cron, flawless.Invalid)
	}
	return t, c.o.Engine.Check(ctx, t.departing("", now))
}

// List returns all schedules, sorted by name: those of this server, and, as the store has them, those of others.
func (c *Scheduler) List(stored []flawless.Schedule) []flawless.Schedule {
	out := []flawless.Schedule{}
	own := map[string]bool{}
	for _, s := range c.list() {
		s.mu.Lock()
		if s.stored != nil {
			own[s.t.Name] = true
			out = append(out, s.t.shown())
		}
		s.mu.Unlock()
	}
	for _, s := range stored {
		if own[s.Name] {
			continue
		}
		if t, err := newTimetable(s); err == nil {
			s = t.shown()
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b flawless.Schedule) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// with calls f with a locked schedule, or returns flawless.NotFound.
func (c *Scheduler) with(name string, f func(s *scheduled) error) (flawless.Schedule, error) {
	c.mu.Lock()
	s := c.all[name]
	c.mu.Unlock()
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	if s == nil || s.stored == nil {
		if err := c.o.Owns(name); err != nil {
			return flawless.Schedule{}, err
		}
		return flawless.Schedule{}, fmt.Errorf("there is no schedule %.200q: %w", name, flawless.NotFound)
	}
	err := f(s)
	return s.t.shown(), err
}

// change modifies and stores a schedule.
func (c *Scheduler) change(name string, f func(t *timetable)) (flawless.Schedule, error) {
	return c.with(name, func(s *scheduled) error {
		before := s.t
		before.Schedule = s.t.Clone()
		f(&s.t)
		err := c.keep(s)
		if err != nil {
			s.t = before
			return err
		}
		s.wake = time.Unix(0, 1)
		task.Poke(c.kick)
		return nil
	})
}

// Get returns a schedule, or flawless.NotFound.
func (c *Scheduler) Get(name string) (flawless.Schedule, error) {
	return c.with(name, func(*scheduled) error { return nil })
}

// Remove removes a schedule. It does not affect its runs.
func (c *Scheduler) Remove(ctx context.Context, name string) error {
	_, err := c.with(name, func(s *scheduled) error {
		if err := c.o.Put(ctx, name, s.stored, nil); err != nil {
			return err
		}
		s.stored = nil
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.all, name)
		return nil
	})
	return err
}

// PauseAll pauses all schedules that are not paused. note says why.
func (c *Scheduler) PauseAll(note string) error {
	for _, s := range c.List(nil) {
		if s.Paused {
			continue
		}
		if _, err := c.Pause(s.Name, note); err != nil {
			return fmt.Errorf("pausing schedule %s: %w", s.Name, err)
		}
	}
	return nil
}

// Pause stops a schedule from starting runs. It drops a queued time.
func (c *Scheduler) Pause(name, note string) (flawless.Schedule, error) {
	return c.change(name, func(t *timetable) {
		t.unqueue()
		t.Paused, t.Note = true, note
	})
}

// Resume continues a schedule with its next time. Times during the pause start no runs; use Backfill for them.
func (c *Scheduler) Resume(name string) (flawless.Schedule, error) {
	return c.change(name, func(t *timetable) {
		if t.Paused {
			t.Paused, t.Note, t.Done = false, "", c.o.Now().UTC()
		}
	})
}

// freeKey returns a new key with which the run is one of this server, if it owns more than a few shards.
func (c *Scheduler) freeKey(name string) (key string) {
	for range 1000 {
		if key = flawless.NewRunID(c.o.Now()); c.o.Engine.Owns(name + "@" + key) {
			break
		}
	}
	return key
}

// Trigger starts a run of a schedule at once, regardless of the overlap policy and of a pause. Repeating it with the
// same key starts no second run; "" generates a key.
func (c *Scheduler) Trigger(ctx context.Context, name, key string) (run flawless.Run, started bool, err error) {
	if key == "" {
		key = c.freeKey(name)
	}
	id := name + "@" + key
	if err := flawless.CheckNewID(id); err != nil {
		return flawless.Run{}, false, fmt.Errorf("triggering schedule %.200q with the key %.200q: %w", name, key, err)
	}
	_, err = c.with(name, func(s *scheduled) error {
		run, started, err = c.o.Engine.Start(ctx, s.t.departing(id, c.o.Now()))
		if err == nil && !started {
			err = c.foreign(name, id)
		}
		if err != nil {
			return err
		}
		if started {
			s.t.began(run.ID)
		}
		return c.keep(s)
	})
	return run, started, err
}

// Backfill is the result of a backfill.
type Backfill struct {
	Started []string `json:"started"` // ids of new runs
	Known   []string `json:"known"`   // ids of runs that already existed
	// Taken are ids that belong to runs that the schedule did not start. Their times have no run.
	Taken []string `json:"taken,omitempty"`
}

// Backfill starts the missing runs of a schedule from one time (inclusive) to another (exclusive), concurrently and
// without jitter. It returns flawless.Invalid for more than 1,000 times and for times in the future. After a crash,
// repeat it to start the remaining runs.
func (c *Scheduler) Backfill(ctx context.Context, name string, from, to time.Time) (Backfill, error) {
	out := Backfill{Started: []string{}, Known: []string{}}
	s, err := c.Get(name)
	if err != nil {
		return out, err
	}
	t, err := newTimetable(s)
	if err != nil {
		return out, err
	}
	times, err := t.between(from, to, c.o.Now())
	if err != nil {
		return out, fmt.Errorf("backfilling schedule %s: %w", name, err)
	}
	for _, at := range times {
		id := t.runID(at)
		_, started, err := c.o.Engine.Start(ctx, t.departing(id, c.o.Now()))
		if err != nil && (passing(err) || !c.known(id)) {
			return out, err
		}
		if started {
			out.Started = append(out.Started, id)
			continue
		}
		switch err := c.foreign(name, id); { // the input may have differed
		case passing(err):
			return out, err
		case err != nil:
			out.Taken = append(out.Taken, id)
		default:
			out.Known = append(out.Known, id)
		}
	}
	return out, nil
}

// between returns the scheduled times from one time until another.
func (t *timetable) between(from, to, now time.Time) ([]time.Time, error) {
	switch {
	case !from.Before(to):
		return nil, fmt.Errorf("--from %s is not before --to %s: %w", from.Format(time.RFC3339), to.Format(time.RFC3339), flawless.Invalid)
	case to.After(now):
		return nil, fmt.Errorf("--to %s is in the future; only past times can be backfilled: %w", to.Format(time.RFC3339), flawless.Invalid)
	}
	var times []time.Time
	for at := from.Add(-1); ; {
		next, ok := t.cron.Next(at)
		if !ok || !next.Before(to) {
			return times, nil
		}
		if len(times) == maxBackfill {
			return nil, fmt.Errorf("there are more than %d times from %s to %s; backfill a shorter range first: %w", maxBackfill, from.Format(time.RFC3339), to.Format(time.RFC3339), flawless.Invalid)
		}
		times = append(times, next)
		at = next
	}
}

package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/cron"
)

// timetable decides what a schedule does. It does no I/O and reads no clock.
type timetable struct {
	flawless.Schedule
	cron cron.Expression
}

func newTimetable(s flawless.Schedule) (timetable, error) {
	c, err := cron.Parse(s.Cron, s.Zone)
	return timetable{s, c}, err
}

// departure is what comes next: a run to be started, or nothing before a moment.
type departure struct {
	start  time.Time // the time that the run is for; zero where none is to be started
	cancel []string  // runs to be asked to give up
	wake   time.Time // nothing happens before; zero is never, unless a run ends
}

// mostMissed is how many missed times are counted one by one.
const mostMissed = 1000

// next moves the schedule on to its next departure. Open must hold the runs that are open. It is
// called again once the departure has been taken: arrive says so.
func (t *timetable) next(now time.Time) (d departure) {
	if t.Paused {
		return departure{}
	}
	for {
		if t.Queued != nil && len(t.Open) == 0 {
			return departure{start: *t.Queued, cancel: d.cancel}
		}
		at, ok := t.cron.Next(t.Done)
		if !ok {
			return departure{cancel: d.cancel}
		}
		leaves := at.Add(t.jitter(at))
		if leaves.After(now) {
			return departure{wake: leaves, cancel: d.cancel}
		}
		if now.Sub(leaves) > t.catchUp() {
			t.miss(at, now)
			continue
		}
		if t.Overlap == flawless.Allow || len(t.Open) == 0 {
			return departure{start: at, cancel: d.cancel}
		}
		t.Done = at
		switch {
		case t.Overlap == flawless.Queue && t.Queued == nil:
			t.Queued = &at
		case t.Overlap == flawless.Replace:
			if t.Queued != nil {
				t.Skipped++
			}
			t.Queued, d.cancel = &at, slices.Clone(t.Open)
		default:
			t.Skipped++
		}
	}
}

// miss leaves out a time that is too long ago, and those behind it up to the window.
func (t *timetable) miss(at, now time.Time) {
	t.Done = at
	t.Missed++
	if t.Missed%mostMissed != 0 {
		return
	}
	if window := now.Add(-t.catchUp() - t.longestJitter()); window.After(t.Done) {
		t.Done = window
	}
}

// arrive takes in that the departure for a time has a run, or cannot have one, and why.
func (t *timetable) arrive(at time.Time, id string, problem string) {
	if t.Queued != nil && t.Queued.Equal(at) {
		t.Queued = nil
	}
	if at.After(t.Done) {
		t.Done = at
	}
	if t.Problem = problem; problem != "" {
		return
	}
	t.Started++
	t.Last = id
	if t.Overlap != flawless.Allow && !slices.Contains(t.Open, id) {
		t.Open = append(t.Open, id)
	}
}

// jitter is how long a time is put off. It is the same however often it is asked for.
func (t *timetable) jitter(at time.Time) time.Duration {
	all := t.longestJitter()
	if all <= 0 {
		return 0
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("jitter "+t.Name+" "), uint64(at.UnixNano())))
	return time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(all))
}

func (t *timetable) longestJitter() time.Duration {
	return time.Duration(t.JitterMS) * time.Millisecond
}

func (t *timetable) catchUp() time.Duration { return time.Duration(t.CatchUpMS) * time.Millisecond }

// runID is the id of the run for a time.
func (t *timetable) runID(at time.Time) string { return flawless.ScheduledID(t.Name, at) }

// departing asks for a run of the schedule.
func (t *timetable) departing(id string) Start {
	return Start{Module: t.Module, Workflow: t.Workflow, Input: t.Input, ID: id, Labels: t.runLabels(), schedule: t.Name}
}

// runLabels are the labels of its runs: those it was given, and its name.
func (t *timetable) runLabels() map[string]string {
	labels := map[string]string{"schedule": t.Name}
	maps.Copy(labels, t.Labels)
	return labels
}

// shown is the schedule as people see it.
func (t *timetable) shown() flawless.Schedule {
	s := t.Clone()
	if at, ok := t.cron.Next(t.Done); ok && !t.Paused {
		at = at.Add(t.jitter(at))
		s.Next = &at
	}
	return s
}

package schedule

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/cron"
)

// timetable decides what a schedule does, without I/O and without a clock.
type timetable struct {
	flawless.Schedule
	cron cron.Expression
}

func newTimetable(s flawless.Schedule) (timetable, error) {
	c, err := cron.Parse(s.Cron, s.Zone)
	return timetable{s, c}, err
}

// Times returns the next times of a cron expression in a time zone ("" is UTC) after a given one: at most n, and fewer if it has no more.
// They are those of a schedule without jitter. The error is flawless.Invalid if the expression or the zone cannot be read.
func Times(expression, zone string, after time.Time, n int) ([]time.Time, error) {
	c, err := cron.Parse(expression, zone)
	if err != nil {
		return nil, err
	}
	out := []time.Time{}
	for len(out) < n {
		at, ok := c.Next(after)
		if !ok {
			break
		}
		out, after = append(out, at), at
	}
	return out, nil
}

// departure is the next action: start a run, or wait until a time.
type departure struct {
	start  time.Time // scheduled time of the run to start; zero starts none
	cancel []string  // runs to cancel
	wake   time.Time // nothing happens before; zero is never, unless a run ends
}

const (
	// maxCounted is how many missed times are counted exactly.
	maxCounted = 10_000
	// setBack is how far the clock has to go back before a schedule follows it. Below that, repeated times are already
	// done, and waiting for new ones takes little time.
	setBack = time.Minute
)

// settle prepares for next. It skips times that are too old to catch up, and follows a clock that was set back; events
// describes that for the log. The server has been up since the given time, so only earlier times can be too old.
func (t *timetable) settle(now, since time.Time) (events []string) {
	if t.Paused {
		return nil
	}
	if ahead := t.Done; ahead.Sub(now) > setBack {
		events = append(events, fmt.Sprintf("the clock was %v ahead and was set back: times up to %s occur again; those that already have a run do not get another",
			ahead.Sub(now).Round(time.Second), ahead.UTC().Format(time.RFC3339)))
		t.Done = now.UTC()
		if t.Ahead == nil || t.Ahead.Before(ahead) {
			t.Ahead = &ahead
		}
	}
	if t.Ahead != nil && t.Ahead.Before(t.Done) {
		t.Ahead = nil
	}
	left, last := t.overdue(now, since)
	if left == 0 {
		return events
	}
	t.Done = last
	count := fmt.Sprint(left)
	if left >= maxCounted {
		count = "more than " + fmt.Sprint(maxCounted)
	}
	t.miss(left, fmt.Sprintf("%s times up to %s passed while the server was down or its clock was behind; at most %d times of the last %v are caught up",
		count, last.UTC().Format(time.RFC3339), t.catchUpLimit(), t.catchUp()))
	return append(events, t.Why)
}

// overdue returns how many due times are too old to catch up, counting at most maxCounted, and the last of them.
func (t *timetable) overdue(now, since time.Time) (left int, last time.Time) {
	due, more := t.due(t.Done, now, maxCounted)
	left = more
	if more >= maxCounted { // skip most of the range
		more = 0
		for span := time.Minute; more == 0; span *= 2 {
			due, more = t.due(now.Add(-span), now, math.MaxInt)
		}
	}
	for len(due) > 0 {
		leaves := due[0].Add(t.jitter(due[0]))
		if len(due) <= t.catchUpLimit() && (!leaves.Before(since) || now.Sub(leaves) <= t.catchUp()) {
			break
		}
		left, last, due = left+1, due[0], due[1:]
	}
	return left, last
}

// due returns the newest due times, oldest first, one more than are caught up at most, and how many earlier ones there
// are. It stops counting at enough.
func (t *timetable) due(after, now time.Time, enough int) (newest []time.Time, more int) {
	for more < enough {
		at, ok := t.cron.Next(after)
		if !ok || at.Add(t.jitter(at)).After(now) {
			break
		}
		if newest = append(newest, at); len(newest) > t.catchUpLimit()+1 {
			newest, more = newest[1:], more+1
		}
		after = at
	}
	return newest, more
}

// miss counts times without a run and records the reason.
func (t *timetable) miss(n int, why string) {
	t.Missed += n
	t.Why = why
}

// next moves on to the next departure. Open must hold the open runs. had reports whether a time already has a run, and
// is called only if the clock was ahead. Call arrive when the departure was handled, then next again.
func (t *timetable) next(now time.Time, had func(at time.Time) bool) (d departure) {
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
		if t.Ahead != nil && !at.After(*t.Ahead) && had(at) {
			t.Done = at
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

// replaces takes over the counts and obligations of the timetable that it replaces. A time whose run is still to
// start, because of a previous run or jitter, keeps its run.
func (t *timetable) replaces(old *timetable, now time.Time) {
	t.Created, t.Open, t.Last, t.Problem, t.Ahead = old.Created, old.Open, old.Last, old.Problem, old.Ahead
	t.Started, t.Skipped, t.Missed, t.Why = old.Started, old.Skipped, old.Missed, old.Why
	t.Queued = old.Queued
	switch at, ok := old.cron.Next(old.Done); {
	case old.Paused:
		t.Paused, t.Note = true, cmp.Or(t.Note, old.Note)
	case t.Cron == old.Cron && t.Zone == old.Zone:
		t.Done = old.Done
	case !ok || at.After(now):
	case t.Queued == nil:
		t.Queued = &at
	default:
		t.Skipped++
	}
	if t.Paused {
		t.unqueue()
	}
}

// unqueue drops the time that waits for a previous run.
func (t *timetable) unqueue() {
	if t.Queued != nil {
		t.Skipped++
	}
	t.Queued = nil
}

// arrive records that the departure for a time has a run, or why it cannot have one.
func (t *timetable) arrive(at time.Time, id string, problem string) {
	if t.Queued != nil && t.Queued.Equal(at) {
		t.Queued = nil
	}
	if at.After(t.Done) {
		t.Done = at
	}
	if problem != "" {
		t.Problem = problem
		t.miss(1, problem)
		return
	}
	t.began(id)
}

// began records a run that was started.
func (t *timetable) began(id string) {
	t.Problem = ""
	t.Started++
	t.Last = id
	if t.Overlap != flawless.Allow && !slices.Contains(t.Open, id) {
		t.Open = append(t.Open, id)
	}
}

// jitter returns the delay of a time. It is deterministic, and ends before the next time, so times depart in order.
func (t *timetable) jitter(at time.Time) time.Duration {
	all := time.Duration(t.JitterMS) * time.Millisecond
	if all <= 0 {
		return 0
	}
	if next, ok := t.cron.Next(at); ok {
		all = min(all, next.Sub(at))
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("jitter "+t.Name+" "), uint64(at.UnixNano())))
	return time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(all))
}

func (t *timetable) catchUp() time.Duration { return time.Duration(t.CatchUpMS) * time.Millisecond }

func (t *timetable) catchUpLimit() int { return cmp.Or(t.CatchUpLimit, defaultCatchUpLimit) }

// runID returns the id of the run for a time.
func (t *timetable) runID(at time.Time) string { return flawless.ScheduledID(t.Name, at) }

// departing describes a run to start now.
func (t *timetable) departing(id string, now time.Time) Start {
	o := Start{Module: t.Module, Workflow: t.Workflow, Input: t.Input, ID: id, Labels: t.runLabels(), Version: t.Version,
		Grace: time.Duration(t.GraceMS) * time.Millisecond, Schedule: t.Name}
	if t.Queue != nil {
		o.Queue = *t.Queue
	}
	if t.DeadlineMS > 0 {
		o.Deadline = now.Add(time.Duration(t.DeadlineMS) * time.Millisecond)
	}
	return o
}

// runLabels returns the labels of its runs: those of the schedule, and its name.
func (t *timetable) runLabels() map[string]string {
	labels := map[string]string{"schedule": t.Name}
	maps.Copy(labels, t.Labels)
	return labels
}

// shown returns the schedule as the API shows it.
func (t *timetable) shown() flawless.Schedule {
	s := t.Clone()
	if at, ok := t.cron.Next(t.Done); ok && !t.Paused {
		at = at.Add(t.jitter(at))
		s.Next = &at
	}
	return s
}

package schedule

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// TestTimetableDecisions plays schedules with a time every ten minutes. A started run stays open until "end".
func TestTimetableDecisions(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name  string
		s     flawless.Schedule
		steps string // minutes that pass, or "end"
		want  string // what is started at which minute, and for which time
	}{
		{"skip", flawless.Schedule{Overlap: flawless.Skip}, "10 10 end 5 5 end 10", "10:10 30:30 40:40 skipped 1"},
		{"queue", flawless.Schedule{Overlap: flawless.Queue}, "10 10 10 end end 10", "10:10 30:20 40:40 skipped 1"},
		{"allow", flawless.Schedule{Overlap: flawless.Allow}, "10 10 10", "10:10 20:20 30:30"},
		{"cancel", flawless.Schedule{Overlap: flawless.Replace}, "10 10 end 10 10 end", "10:10 cancel 20:20 cancel cancel 40:40 skipped 1"},
		{"late", flawless.Schedule{Overlap: flawless.Allow}, "25", "25:10 25:20"},
		{"late, and skip", flawless.Schedule{Overlap: flawless.Skip}, "35", "35:10 skipped 2"},
		{"much too late", flawless.Schedule{Overlap: flawless.Allow}, "155", "155:100 155:110 155:120 155:130 155:140 155:150 missed 9"},
		{"paused", flawless.Schedule{Overlap: flawless.Allow, Paused: true}, "10 10", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := row.s
			s.Name, s.Cron, s.Zone, s.Done, s.CatchUpMS = "s", "*/10 * * * *", "UTC", begin, time.Hour.Milliseconds()
			table, err := newTimetable(s)
			if err != nil {
				t.Fatal(err)
			}
			now, got := begin, []string{}
			minute := func(at time.Time) int { return int(at.Sub(begin).Minutes()) }
			for step := range strings.FieldsSeq(row.steps) {
				var m int
				if step == "end" {
					table.Open = nil
				} else if _, err := fmt.Sscan(step, &m); err == nil {
					now = now.Add(time.Duration(m) * time.Minute)
				}
				table.settle(now, now)
				for {
					d := table.next(now, nil)
					for range d.cancel {
						got = append(got, "cancel")
					}
					if d.start.IsZero() {
						break
					}
					got = append(got, fmt.Sprintf("%d:%d", minute(now), minute(d.start)))
					table.arrive(d.start, table.runID(d.start), "")
				}
			}
			if table.Skipped > 0 {
				got = append(got, fmt.Sprint("skipped ", table.Skipped))
			}
			if table.Missed > 0 {
				got = append(got, fmt.Sprint("missed ", table.Missed))
			}
			if text := strings.Join(got, " "); text != row.want {
				t.Errorf("it is %q, want %q", text, row.want)
			}
		})
	}
}

func TestCountingMissedTimesIsBounded(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	table, err := newTimetable(flawless.Schedule{Name: "s", Cron: "* * * * * *", Done: begin, CatchUpMS: 10_000, Overlap: flawless.Allow})
	if err != nil {
		t.Fatal(err)
	}
	now := begin.AddDate(5, 0, 0)
	table.settle(now, now)
	d := table.next(now, nil)
	if d.start.IsZero() || now.Sub(d.start) > 11*time.Second || table.Missed < maxCounted || table.Missed > 2*maxCounted {
		t.Errorf("after five years it starts the run for %v, missed %d", d.start, table.Missed)
	}
}

func TestJitterIsDeterministic(t *testing.T) {
	t.Parallel()
	table, err := newTimetable(flawless.Schedule{Name: "s", Cron: "@daily", JitterMS: time.Hour.Milliseconds(), CatchUpMS: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[time.Duration]bool{}
	for day := range 100 {
		at := time.Date(2026, 1, 1+day, 0, 0, 0, 0, time.UTC)
		j := table.jitter(at)
		if j < 0 || j >= time.Hour || j != table.jitter(at) {
			t.Fatalf("the jitter of %v is %v", at, j)
		}
		seen[j] = true
	}
	if len(seen) < 90 {
		t.Errorf("100 days have %d jitters", len(seen))
	}
}

// TestRunInheritsScheduleSettings checks that every setting of a start is also one of a schedule.
func TestRunInheritsScheduleSettings(t *testing.T) {
	t.Parallel()
	place := flawless.QueueOptions{Key: "k", Limit: 1}
	s := flawless.Schedule{Name: "s", Module: "m", Workflow: "w", Version: "1", Input: []byte("1"), Labels: map[string]string{"a": "b"},
		Queue: &place, DeadlineMS: 1, GraceMS: 1}
	o := reflect.ValueOf((&timetable{Schedule: s}).departing("id", time.Unix(1, 0)))
	for i := range o.NumField() {
		if o.Field(i).IsZero() {
			t.Errorf("a schedule does not set %s of its runs", o.Type().Field(i).Name)
		}
	}
}

func TestCatchUpLimitBoundsStarts(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name   string
		s      flawless.Schedule
		down   time.Duration
		starts int
	}{
		{"the usual limit", flawless.Schedule{Cron: "*/5 * * * * *", CatchUpMS: time.Hour.Milliseconds()}, time.Hour, 100},
		{"a limit of its own", flawless.Schedule{Cron: "*/5 * * * * *", CatchUpMS: time.Hour.Milliseconds(), CatchUpLimit: 7}, time.Hour, 7},
		{"fewer are due", flawless.Schedule{Cron: "0 * * * *", CatchUpMS: 5 * time.Hour.Milliseconds()}, 5 * time.Hour, 5},
		{"the window is shorter", flawless.Schedule{Cron: "0 * * * *", CatchUpMS: 2*time.Hour.Milliseconds() + 1}, 5 * time.Hour, 3},
		{"years", flawless.Schedule{Cron: "* * * * * *", CatchUpMS: 24 * 365 * time.Hour.Milliseconds()}, 5 * 365 * 24 * time.Hour, 100},
		{"years, and most times are long ago", flawless.Schedule{Cron: "* * 3 1 * *", CatchUpMS: 24 * 365 * time.Hour.Milliseconds()}, 300 * 24 * time.Hour, 100},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := row.s
			s.Name, s.Overlap, s.Done = "s", flawless.Allow, begin
			table, err := newTimetable(s)
			if err != nil {
				t.Fatal(err)
			}
			now := begin.Add(row.down)
			table.settle(now, now)
			missed, starts, last := table.Missed, 0, time.Time{}
			for {
				table.settle(now, now) // repeating it changes nothing
				d := table.next(now, nil)
				if d.start.IsZero() {
					break
				}
				table.arrive(d.start, "x", "")
				starts, last = starts+1, d.start
			}
			due, older := table.due(begin, now, maxCounted)
			if want := min(maxCounted, older+len(due)) - starts; starts != row.starts || missed < want || table.Missed != missed || (missed > 0) != (table.Why != "") {
				t.Errorf("%d start, %d are missed (%s), want %d and %d", starts, table.Missed, table.Why, row.starts, want)
			}
			if next, _ := table.cron.Next(last); !next.After(now) {
				t.Errorf("the last one is for %v, not the newest", last)
			}
		})
	}
}

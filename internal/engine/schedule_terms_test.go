package engine

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/schedule"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestScheduledRunsUseOptionsOfSchedule: version, place and deadline come from the schedule, however the
// run is started, and after a restart of the server too.
func TestScheduledRunsUseOptionsOfSchedule(t *testing.T) {
	fixed := edition(t, "fixed")
	inTimeFrom(t, "2026-01-01T00:00:30Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		old, err := e.Module(t.Context(), "guest")
		if err != nil {
			t.Fatal(err)
		}
		addEdition(t, e, fixed)
		place := flawless.QueueOptions{Key: "customer-7", Limit: 1, Priority: 3}
		mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "0 * * * *", Workflow: "script", Input: []byte(`{"url":"","steps":[{"sleep":5400000000000}]}`),
			Overlap: flawless.Allow, Version: "1", Queue: &flawless.QueueOptions{Key: place.Key, Priority: place.Priority}, DeadlineMS: (2 * time.Hour).Milliseconds(), GraceMS: 5000})
		e.Kill()
		e = open(t, kv, Options{})
		defer e.Kill()
		time.Sleep(time.Hour)
		synctest.Wait()
		now := e.clockNow()
		if _, _, err := e.Schedules().Trigger(t.Context(), "s", "by-hand"); err != nil {
			t.Fatal(err)
		}
		for id, began := range map[string]time.Time{"s@2026-01-01T01:00:00Z": now.Truncate(time.Hour), "s@by-hand": now} {
			r, err := e.Run(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if r.Digest != old[0].Digest || r.Queue == nil || *r.Queue != place || r.Deadline == nil || !r.Deadline.Equal(began.Add(2*time.Hour)) {
				t.Errorf("run %s is of version %.12s, place %+v, deadline %v; want %.12s, %+v, %v", id, r.Digest, r.Queue, r.Deadline, old[0].Digest, place, began.Add(2*time.Hour))
			}
			first, err := e.begun(t.Context(), id)
			if err != nil || first.Grace != int64(5*time.Second) {
				t.Errorf("run %s has the grace %v, %v; want 5s", id, time.Duration(first.Grace), err)
			}
		}
		if got := runsOf(t, e, flawless.Pending); !slices.Equal(got, []string{"s@by-hand"}) {
			t.Errorf("pending are %v, want the second run of the key", got)
		}
	})
}

// TestScheduleSupportsEveryStartOption goes through all that a caller may say of a start. A field that is new is
// one of a schedule too, or is listed here.
func TestScheduleSupportsEveryStartOption(t *testing.T) {
	t.Parallel()
	var s schedule.Start
	fill(reflect.ValueOf(&s).Elem())
	s.Deadline = time.Unix(1, 0)
	o := reflect.ValueOf(startOf(s))
	for i := range o.NumField() {
		f := o.Type().Field(i)
		if f.IsExported() && f.Name != "Of" && f.Name != "Request" && o.Field(i).IsZero() { // it repeats no run, and no client waits
			t.Errorf("a schedule does not set %s of its runs", f.Name)
		}
	}
}

func TestInvalidScheduleTermsAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	for _, row := range []struct {
		name string
		s    flawless.Schedule
		code flawless.Code
		text string
	}{
		{"a version that is not there", flawless.Schedule{Version: "9"}, flawless.NotFound, "version"},
		{"a cap without a key", flawless.Schedule{Queue: &flawless.QueueOptions{Limit: 2}}, flawless.Invalid, "concurrency key"},
		{"a priority out of range", flawless.Schedule{Queue: &flawless.QueueOptions{Priority: 5000}}, flawless.Invalid, "priority"},
		{"a deadline before the start", flawless.Schedule{DeadlineMS: -1}, flawless.Invalid, "deadline"},
		{"a deadline that overflows", flawless.Schedule{DeadlineMS: 1 << 62}, flawless.Invalid, "deadline"},
		{"grace without a deadline", flawless.Schedule{GraceMS: 5}, flawless.Invalid, "grace"},
	} {
		row.s.Name, row.s.Cron, row.s.Module, row.s.Workflow = "s", "@daily", "guest", "empty"
		if _, err := e.Schedules().Set(t.Context(), row.s, false); !errors.Is(err, row.code) || !strings.Contains(err.Error(), row.text) {
			t.Errorf("%s: %v, want %v and %q", row.name, err, row.code, row.text)
		}
	}
}

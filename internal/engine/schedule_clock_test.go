package engine

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// wallClock is a clock that a test sets, beside the time that passes.
type wallClock struct{ off atomic.Int64 }

func (w *wallClock) now() time.Time { return time.Now().Add(time.Duration(w.off.Load())) }

func (w *wallClock) set(d time.Duration) { w.off.Add(int64(d)) }

func TestJitterMissesNoTime(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:01Z", func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "*/5 * * * * *", Workflow: "empty", Overlap: flawless.Allow, JitterMS: 30_000, CatchUpMS: 10_000})
		time.Sleep(150 * time.Second)
		synctest.Wait()
		if s := theSchedule(t, e, "s"); s.Started < 29 || s.Missed != 0 || s.Skipped != 0 {
			t.Errorf("in 150 s: %d started, %d missed, %d skipped", s.Started, s.Missed, s.Skipped)
		}
	})
}

// TestScheduleFollowsClockChanges sets the clock ahead by three days and then back.
func TestScheduleFollowsClockChanges(t *testing.T) {
	for name, restart := range map[string]bool{"while the server is up": false, "while it is down": true} {
		t.Run(name, func(t *testing.T) {
			inTimeFrom(t, "2026-01-01T00:00:01Z", func(t *testing.T) {
				var log bytes.Buffer
				var clock wallClock
				kv, how := mem.New(), Options{Now: clock.now, Log: slog.New(slog.NewTextHandler(&log, nil))}
				e := open(t, kv, how)
				set := func(d time.Duration) {
					if restart {
						e.Kill()
					}
					clock.set(d)
					if restart {
						e = open(t, kv, how)
					}
				}
				mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "* * * * *", Workflow: "empty", Overlap: flawless.Allow, CatchUpLimit: 5})
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if got := runsOf(t, e); len(got) != 2 {
					t.Fatalf("it started %v", got)
				}

				set(72 * time.Hour)
				time.Sleep(90 * time.Second)
				synctest.Wait()
				s := theSchedule(t, e, "s")
				if got := runsOf(t, e); len(got) < 7 || len(got) > 9 {
					t.Errorf("after the clock went ahead it started %v", got)
				}
				if s.Missed < 72*60-10 || !strings.Contains(s.Why, "at most 5 times of the last 1h0m0s are caught up") {
					t.Errorf("after the clock went ahead: %d missed, %q", s.Missed, s.Why)
				}
				if !strings.Contains(log.String(), "caught up") {
					t.Errorf("the log says %s", log.String())
				}

				set(-72 * time.Hour)
				before, missed := theSchedule(t, e, "s").Started, s.Missed
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				s = theSchedule(t, e, "s")
				if n := s.Started - before; n < 4 || n > 6 || s.Missed != missed {
					t.Errorf("in five minutes after the clock was set back: %d started, %d missed", n, s.Missed-missed)
				}
				if got := runsOf(t, e); len(got) != s.Started || !slices.Contains(got, "s@2026-01-01T00:07:00Z") {
					t.Errorf("%d are counted, and there are %v", s.Started, got)
				}
				if !strings.Contains(log.String(), "was set back") {
					t.Errorf("the log says %s", log.String())
				}
				e.Kill()
			})
		})
	}
}

// TestRepeatedLocalTimeStartsOneRun: the clock goes back over times that have runs, one of them open.
func TestRepeatedLocalTimeStartsOneRun(t *testing.T) {
	for _, policy := range flawless.Overlaps {
		t.Run(string(policy), func(t *testing.T) {
			inTimeFrom(t, "2026-01-01T00:00:30Z", func(t *testing.T) {
				var clock wallClock
				e := open(t, mem.New(), Options{Now: clock.now})
				defer e.Kill()
				mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "0 * * * *", Workflow: "obey", Overlap: policy})
				time.Sleep(time.Hour)
				clock.set(-30 * time.Minute)
				time.Sleep(45 * time.Minute) // it is one o'clock again
				synctest.Wait()
				s := theSchedule(t, e, "s")
				if got := runsOf(t, e, flawless.Waiting); !slices.Equal(got, []string{"s@2026-01-01T01:00:00Z"}) || s.Started != 1 || s.Skipped != 0 || s.Queued != nil {
					t.Errorf("open are %v, and it is %+v", got, s)
				}
			})
		})
	}
}

// TestChangedScheduleLosesNoTime: a time that has come and whose run is still to start keeps it.
func TestChangedScheduleLosesNoTime(t *testing.T) {
	queue := flawless.Schedule{Name: "s", Module: "guest", Cron: "*/10 * * * *", Workflow: "obey", Overlap: flawless.Queue}
	jitter := flawless.Schedule{Name: "s", Module: "guest", Cron: "0 * * * *", Workflow: "empty", JitterMS: (55 * time.Minute).Milliseconds()} // half an hour for one o'clock
	replace := func(edit func(s *flawless.Schedule)) func(t *testing.T, e *Engine, s flawless.Schedule) {
		return func(t *testing.T, e *Engine, s flawless.Schedule) {
			edit(&s)
			if _, err := e.Schedules().Set(t.Context(), s, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, row := range map[string]struct {
		s      flawless.Schedule
		change func(t *testing.T, e *Engine, s flawless.Schedule)
	}{
		"queued, and another policy":       {queue, replace(func(s *flawless.Schedule) { s.Overlap = flawless.Skip })},
		"queued, and another expression":   {queue, replace(func(s *flawless.Schedule) { s.Cron = "@yearly" })},
		"queued, and a run by hand":        {queue, func(t *testing.T, e *Engine, s flawless.Schedule) { trigger(t, e) }},
		"put off, and another input":       {jitter, replace(func(s *flawless.Schedule) { s.Input = []byte("1") })},
		"put off, and another expression":  {jitter, replace(func(s *flawless.Schedule) { s.Cron = "@yearly" })},
		"put off, and no jitter from then": {jitter, replace(func(s *flawless.Schedule) { s.JitterMS = 0 })},
	} {
		t.Run(name, func(t *testing.T) {
			inTimeFrom(t, "2026-01-01T00:50:30Z", func(t *testing.T) {
				e := open(t, mem.New(), Options{})
				defer e.Kill()
				mustSchedule(t, e, row.s)
				time.Sleep(10 * time.Minute) // it is one o'clock: for one of them the second time
				if row.s.Overlap == flawless.Queue {
					time.Sleep(10 * time.Minute)
				}
				synctest.Wait()
				due := "s@2026-01-01T01:00:00Z"
				if row.s.Overlap == flawless.Queue {
					due = "s@2026-01-01T01:10:00Z"
				}
				if got := runsOf(t, e); slices.Contains(got, due) {
					t.Fatalf("it has begun: %v", got)
				}
				row.change(t, e, row.s)
				for _, id := range runsOf(t, e, flawless.Waiting) {
					if _, err := e.Terminate(t.Context(), id, flawless.Cancel{}); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(59 * time.Minute)
				synctest.Wait()
				if got := runsOf(t, e); !slices.Contains(got, due) {
					t.Errorf("the run for a time that had come was lost: %v, it is %+v", got, theSchedule(t, e, "s"))
				}
			})
		})
	}
}

func trigger(t *testing.T, e *Engine) {
	t.Helper()
	if _, started, err := e.Schedules().Trigger(t.Context(), "s", ""); err != nil || !started {
		t.Fatalf("triggered: %v %v", started, err)
	}
}

func TestScheduleIsCreatedPaused(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:30Z", func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		s := mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "0 * * * *", Workflow: "empty", Paused: true, Note: "not yet"})
		if !s.Paused || s.Note != "not yet" || s.Next != nil {
			t.Errorf("it is %+v", s)
		}
		time.Sleep(150 * time.Minute)
		if got := runsOf(t, e); len(got) > 0 {
			t.Errorf("it started %v", got)
		}
		if _, err := e.Schedules().Resume("s"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := runsOf(t, e); !slices.Equal(got, []string{"s@2026-01-01T03:00:00Z"}) {
			t.Errorf("resumed it started %v", got)
		}
	})
}

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// inTimeFrom runs a test in a bubble that begins at a moment.
func inTimeFrom(t *testing.T, begin string, f func(t *testing.T)) {
	t.Helper()
	if f := fixture(); f.err != nil {
		t.Fatal(f.err)
	}
	at, err := time.Parse(time.RFC3339, begin)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(at))
		f(t)
	})
}

func mustSchedule(t *testing.T, e *Engine, s flawless.Schedule) flawless.Schedule {
	t.Helper()
	s.Module = "guest"
	out, err := e.Schedules().Set(t.Context(), s, false)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func theSchedule(t *testing.T, e *Engine, name string) flawless.Schedule {
	t.Helper()
	s, err := e.Schedules().Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// runsOf returns the ids of all runs, oldest first.
func runsOf(t *testing.T, e *Engine, status ...flawless.Status) []string {
	t.Helper()
	runs, _, err := e.Runs(t.Context(), flawless.Filter{Limit: 1000, Status: status})
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, r := range runs {
		ids = append(ids, r.ID)
	}
	slices.Reverse(ids)
	return ids
}

func TestSchedulesStartRunsInVirtualTime(t *testing.T) {
	for name, row := range map[string]struct {
		begin, cron string
		days        int
		want        []string
	}{
		"over the jump in spring": {"2026-03-27T12:00:00Z", "30 2 * * *", 3, []string{"s@2026-03-28T01:30:00Z", "s@2026-03-29T01:00:00Z", "s@2026-03-30T00:30:00Z"}},
		"over the jump in autumn": {"2026-10-23T12:00:00Z", "30 2 * * *", 3, []string{"s@2026-10-24T00:30:00Z", "s@2026-10-25T00:30:00Z", "s@2026-10-26T01:30:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			inTimeFrom(t, row.begin, func(t *testing.T) {
				kv := mem.New()
				e := open(t, kv, Options{})
				mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: row.cron, Zone: "Europe/Berlin", Workflow: "empty", Input: []byte(`{"a":1}`)})
				for range row.days {
					time.Sleep(12 * time.Hour)
					synctest.Wait()
					e.Kill()
					e = open(t, kv, Options{})
					time.Sleep(12 * time.Hour)
				}
				synctest.Wait()
				if got := runsOf(t, e); !slices.Equal(got, row.want) {
					t.Errorf("it started %v, want %v", got, row.want)
				}
				if s := theSchedule(t, e, "s"); s.Started != 3 || s.Problem != "" || s.Last != row.want[2] || s.Next == nil {
					t.Errorf("it is %+v", s)
				}
				e.Kill()
			})
		})
	}
}

func TestDowntimeIsCaughtUp(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:30Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "*/10 * * * *", Workflow: "empty", CatchUpMS: (30 * time.Minute).Milliseconds()})
		e.Kill()
		time.Sleep(2 * time.Hour)
		e = open(t, kv, Options{})
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []string{"s@2026-01-01T01:40:00Z", "s@2026-01-01T01:50:00Z", "s@2026-01-01T02:00:00Z"}
		if got := runsOf(t, e); !slices.Equal(got, want) {
			t.Errorf("after two hours it started %v, want %v", got, want)
		}
		if s := theSchedule(t, e, "s"); s.Missed != 9 {
			t.Errorf("it is %+v", s)
		}
		e.Kill()
	})
}

func TestScheduleOverlapPolicies(t *testing.T) {
	// Each run lasts 23 hours; a time comes at 0, 10 and 20 o'clock.
	for policy, want := range map[flawless.Overlap][]string{
		flawless.Skip:    {"s@2026-01-01T10:00:00Z", "s@2026-01-02T10:00:00Z"},
		flawless.Queue:   {"s@2026-01-01T10:00:00Z", "s@2026-01-01T20:00:00Z"},
		flawless.Allow:   {"s@2026-01-01T00:00:00Z", "s@2026-01-01T10:00:00Z", "s@2026-01-01T20:00:00Z", "s@2026-01-02T00:00:00Z", "s@2026-01-02T10:00:00Z", "s@2026-01-02T20:00:00Z", "s@2026-01-03T00:00:00Z"},
		flawless.Replace: {"s@2026-01-01T10:00:00Z", "s@2026-01-01T20:00:00Z", "s@2026-01-02T00:00:00Z", "s@2026-01-02T10:00:00Z", "s@2026-01-02T20:00:00Z", "s@2026-01-03T00:00:00Z"},
	} {
		t.Run(string(policy), func(t *testing.T) {
			inTimeFrom(t, "2026-01-01T00:00:30Z", func(t *testing.T) {
				e := open(t, mem.New(), Options{})
				workflow, input := "script", `{"url":"","steps":[{"sleep":82800000000}]}`
				if policy == flawless.Replace {
					workflow, input = "obey", "null"
				}
				if policy == flawless.Allow {
					want = want[1:]
				}
				mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "0 */10 * * *", Workflow: workflow, Input: []byte(input), Overlap: policy})
				time.Sleep(48*time.Hour + time.Minute)
				synctest.Wait()
				if got := runsOf(t, e); !slices.Equal(got, want) {
					t.Errorf("it started %v, want %v", got, want)
				}
				if policy == flawless.Replace {
					if got := runsOf(t, e, flawless.Cancelled); len(got) != len(want)-1 {
						t.Errorf("cancelled are %v", got)
					}
				}
				e.Kill()
			})
		})
	}
}

// TestCrashNeverStartsRunTwice: the server dies before and after every write, and continues.
func TestCrashNeverStartsRunTwice(t *testing.T) {
	for _, after := range []bool{false, true} {
		for left := 4; ; left++ {
			died := false
			inTimeFrom(t, "2026-01-01T00:00:30Z", func(t *testing.T) {
				kv := mem.New()
				e := open(t, kv, Options{})
				mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "*/10 * * * *", Workflow: "empty", Overlap: flawless.Queue})
				e.Kill()
				dying := newMortal(kv, left, after)
				e, err := tryOpen(t, dying, Options{})
				if err == nil {
					time.Sleep(30 * time.Minute)
					synctest.Wait()
					e.Kill()
				}
				died = dying.isDead()
				time.Sleep(10 * time.Minute)
				e = open(t, kv, Options{})
				time.Sleep(time.Minute)
				synctest.Wait()
				want := []string{"s@2026-01-01T00:10:00Z", "s@2026-01-01T00:20:00Z", "s@2026-01-01T00:30:00Z", "s@2026-01-01T00:40:00Z"}
				if got := runsOf(t, e, flawless.Completed); !slices.Equal(got, want) {
					t.Errorf("death at write %d, after %v: it started %v", left, after, got)
				}
				e.Kill()
			})
			if !died {
				if left < 6 {
					t.Errorf("it never died: the test proves nothing")
				}
				break
			}
		}
	}
}

func TestSchedulePauseResumeAndTrigger(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:30Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		ctx := context.Background()
		mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "0 * * * *", Workflow: "empty", Input: []byte("7")})
		if _, err := e.Schedules().Pause("s", "holidays"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Minute)
		e.Kill()
		e = open(t, kv, Options{})
		if s := theSchedule(t, e, "s"); !s.Paused || s.Note != "holidays" || s.Next != nil || s.Started != 0 {
			t.Errorf("paused it is %+v", s)
		}
		run, started, err := e.Schedules().Trigger(ctx, "s", "now")
		if err != nil || !started || run.ID != "s@now" {
			t.Errorf("triggered: %+v %v %v", run, started, err)
		}
		if _, started, err = e.Schedules().Trigger(ctx, "s", "now"); err != nil || started {
			t.Errorf("triggered with the same key: %v %v", started, err)
		}
		if _, err := e.Schedules().Resume("s"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Join(runsOf(t, e), " "); got != "s@now s@2026-01-01T03:00:00Z" {
			t.Errorf("after it went on: %s", got)
		}
		from := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
		b, err := e.Schedules().Backfill(ctx, "s", from, from.Add(150*time.Minute))
		if got := fmt.Sprint(b.Started, b.Known, b.Taken); err != nil || got != "[s@2026-01-01T01:00:00Z s@2026-01-01T02:00:00Z] [s@2026-01-01T03:00:00Z] []" {
			t.Errorf("filled in: %v %v", got, err)
		}
		if b, err := e.Schedules().Backfill(ctx, "s", from, from.Add(150*time.Minute)); err != nil || len(b.Started) != 0 || len(b.Known) != 3 {
			t.Errorf("filled in again: %v %v", b, err)
		}
		for name, span := range map[string][2]time.Time{
			"nothing":       {from, from},
			"times to come": {from, from.AddDate(1, 0, 0)},
			"too many":      {from.AddDate(-1, 0, 0), from},
			"the wrong way": {from, from.Add(-time.Hour)},
		} {
			if _, err := e.Schedules().Backfill(ctx, "s", span[0], span[1]); !errors.Is(err, flawless.Invalid) {
				t.Errorf("filling in %s: %v", name, err)
			}
		}
		if err := e.Schedules().Remove(ctx, "s"); err != nil {
			t.Fatal(err)
		}
		if err := e.Schedules().Remove(ctx, "s"); !errors.Is(err, flawless.NotFound) {
			t.Errorf("removing it again: %v", err)
		}
		time.Sleep(3 * time.Hour)
		if got := runsOf(t, e); len(got) != 4 {
			t.Errorf("after it was removed: %v", got)
		}
		e.Kill()
	})
}

// alterSchedule opens the engine again with another schedule s in its store.
func alterSchedule(t *testing.T, kv *mem.DB, e *Engine, change func(s *flawless.Schedule)) *Engine {
	t.Helper()
	e.Kill()
	all, err := e.store.Schedules(t.Context(), e.lease.Owned())
	if err != nil || len(all) != 1 {
		t.Fatalf("the schedules are %+v, %v", all, err)
	}
	after := all[0].Clone()
	change(&after)
	if err := e.store.PutSchedule(t.Context(), e.lease, after.Name, &all[0], &after); err != nil {
		t.Fatal(err)
	}
	return open(t, kv, Options{})
}

func TestScheduledRunThatCannotStart(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:30Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "0 * * * *", Workflow: "empty"})
		e = alterSchedule(t, kv, e, func(s *flawless.Schedule) { s.Workflow = "gone" }) // as after a version of the module without it
		time.Sleep(time.Hour)
		synctest.Wait()
		s := theSchedule(t, e, "s")
		if !strings.Contains(s.Problem, "gone") || s.Started != 0 || s.Next == nil {
			t.Errorf("it is %+v", s)
		}
		e = alterSchedule(t, kv, e, func(s *flawless.Schedule) { s.Workflow = "empty" })
		kv.SetFull(true)
		time.Sleep(time.Hour)
		kv.SetFull(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := theSchedule(t, e, "s"); s.Problem != "" || s.Started != 1 || s.Last != "s@2026-01-01T02:00:00Z" {
			t.Errorf("after the disk was full: %+v", s)
		}
		e.Kill()
	})
}

func TestInvalidSchedulesAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	good := flawless.Schedule{Name: "s", Cron: "0 9 * * *", Module: "guest", Workflow: "once", Input: []byte(`{"url":"x"}`)}
	for _, row := range []struct {
		name string
		edit func(s *flawless.Schedule)
		code flawless.Code
		text string
	}{
		{"no name", func(s *flawless.Schedule) { s.Name = "" }, flawless.Invalid, "name"},
		{"a slash in its name", func(s *flawless.Schedule) { s.Name = "a/b" }, flawless.Invalid, "name"},
		{"a bad expression", func(s *flawless.Schedule) { s.Cron = "every day" }, flawless.Invalid, "cron expression"},
		{"no time at all", func(s *flawless.Schedule) { s.Cron = "0 0 31 2 *" }, flawless.Invalid, "never matches"},
		{"a bad zone", func(s *flawless.Schedule) { s.Zone = "Mars/Base" }, flawless.Invalid, "time zone"},
		{"a bad policy", func(s *flawless.Schedule) { s.Overlap = "maybe" }, flawless.Invalid, "skip"},
		{"a bad jitter", func(s *flawless.Schedule) { s.JitterMS = -1 }, flawless.Invalid, "jitter"},
		{"a bad window", func(s *flawless.Schedule) { s.CatchUpMS = 1 }, flawless.Invalid, "window"},
		{"no such module", func(s *flawless.Schedule) { s.Module = "nobody" }, flawless.NotFound, "nobody"},
		{"no such workflow", func(s *flawless.Schedule) { s.Workflow = "nothing" }, flawless.NotFound, "everything"},
		{"a bad input", func(s *flawless.Schedule) { s.Input = []byte(`{"url":7}`) }, flawless.Invalid, "url"},
	} {
		s := good
		row.edit(&s)
		if _, err := e.Schedules().Set(t.Context(), s, false); !errors.Is(err, row.code) || !strings.Contains(err.Error(), row.text) {
			t.Errorf("%s: %v, want %q", row.name, err, row.text)
		}
	}
	if all := e.Schedules().List(nil); len(all) != 0 {
		t.Errorf("they are there: %v", all)
	}
	if _, err := e.Schedules().Set(t.Context(), good, false); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Schedules().Set(t.Context(), good, false); !errors.Is(err, flawless.Conflict) {
		t.Errorf("a second one of the name: %v", err)
	}
	good.Cron = "0 10 * * *"
	if s, err := e.Schedules().Set(t.Context(), good, true); err != nil || s.Cron != "0 10 * * *" {
		t.Errorf("replacing it: %v %v", s, err)
	}
	for name, err := range map[string]error{
		"pause":    second(e.Schedules().Pause("nobody", "")),
		"resume":   second(e.Schedules().Resume("nobody")),
		"show":     second(e.Schedules().Get("nobody")),
		"backfill": second(e.Schedules().Backfill(t.Context(), "nobody", time.Now(), time.Now())),
	} {
		if !errors.Is(err, flawless.NotFound) {
			t.Errorf("%s of none: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestTimeWithTakenID: a run that the schedule did not start has the id of one of its times.
func TestTimeWithTakenID(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:30Z", func(t *testing.T) {
		var log bytes.Buffer
		e := open(t, mem.New(), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		ctx := context.Background()
		mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "0 * * * *", Workflow: "empty", Input: []byte("7")})
		for id, input := range map[string]string{"s@2026-01-01T01:00:00Z": "7", "s@2026-01-01T02:00:00Z": "8"} {
			if _, started, err := e.Start(ctx, Start{Module: "guest", Workflow: "empty", Input: []byte(input), ID: id, schedule: "somebody"}); err != nil || !started {
				t.Fatalf("%v %v", started, err)
			}
		}
		time.Sleep(150 * time.Minute)
		synctest.Wait()
		s := theSchedule(t, e, "s")
		if s.Started != 0 || s.Missed != 2 || s.Last != "" || !strings.Contains(s.Problem, "s@2026-01-01T02:00:00Z is used by a run") {
			t.Errorf("it is %+v", s)
		}
		if !strings.Contains(log.String(), "s@2026-01-01T01:00:00Z is used by a run") {
			t.Errorf("the log says %s", log.String())
		}
		from := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
		b, err := e.Schedules().Backfill(ctx, "s", from, from.Add(90*time.Minute))
		if got := strings.Join(b.Taken, " "); err != nil || got != "s@2026-01-01T01:00:00Z s@2026-01-01T02:00:00Z" || len(b.Started)+len(b.Known) != 0 {
			t.Errorf("filled in: %+v %v", b, err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := theSchedule(t, e, "s"); s.Started != 1 || s.Missed != 2 || s.Problem != "" {
			t.Errorf("after a time of its own it is %+v", s)
		}
		if _, _, err := e.Start(ctx, Start{Module: "guest", Workflow: "empty", Input: []byte("7"), ID: "s@mine"}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.Schedules().Trigger(ctx, "s", "mine"); !errors.Is(err, flawless.Conflict) {
			t.Errorf("triggered with the id of another run: %v", err)
		}
		e.Kill()
	})
}

// TestReservedIDsAreRefused tries every way in which a caller names a run: the id of a schedule's time,
// and that of a child.
func TestReservedIDsAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	ctx := t.Context()
	mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "@yearly", Workflow: "empty"})
	if r, _, err := e.Start(ctx, Start{Module: "guest", Workflow: "fail", Input: []byte(`"no"`), ID: "failed"}); err != nil {
		t.Fatal(err)
	} else if _, err := e.Wait(ctx, r.ID); err != nil {
		t.Fatal(err)
	}
	b, err := bundled(e.Export(ctx, "failed", Export{}))
	if err != nil {
		t.Fatal(err)
	}
	for id, whose := range map[string]string{"s@2026-01-01T01:00:00Z": "schedule", "s@2026-01-01T01:00:00Z.2": "schedule", "s@order-7.2": "child"} {
		own := b
		own.Manifest.Run.ID = id
		for way, do := range map[string]func() error{
			"start": func() error {
				_, _, err := e.Start(ctx, Start{Module: "guest", Workflow: "empty", ID: id})
				return err
			},
			"restart":  func() error { return second(e.Restart(ctx, "failed", id, "")) },
			"fork":     func() error { return second(e.Fork(ctx, "failed", Fork{ID: id})) },
			"import":   func() error { return second(e.Import(ctx, b, id)) },
			"a bundle": func() error { return second(e.Import(ctx, own, "")) },
			"trigger":  func() error { _, _, err := e.Schedules().Trigger(ctx, "s", strings.TrimPrefix(id, "s@")); return err },
		} {
			if way == "a bundle" && whose == "child" {
				continue // an exported child keeps its id
			}
			if err := do(); !errors.Is(err, flawless.Invalid) || !strings.Contains(err.Error(), whose) {
				t.Errorf("%s of %s: %v", way, id, err)
			}
		}
		if _, err := e.Run(ctx, id); !errors.Is(err, flawless.NotFound) {
			t.Errorf("a run has id %s: %v", id, err)
		}
		if whose == "child" {
			if r, err := e.Import(ctx, own, id); err != nil || r.ID != id {
				t.Errorf("importing the child %s: %+v, %v", id, r, err)
			}
		}
		if _, err := e.Import(ctx, own, "mine-"+strings.ReplaceAll(id, ".", "-")+"-"); err != nil {
			t.Errorf("under another id: %v", err)
		}
	}
}

// TestScheduleContinuesAfterItsRunsEnded: at the start a schedule forgets its runs that are over, and must
// still know what the store has of it.
func TestScheduleContinuesAfterItsRunsEnded(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	mustSchedule(t, e, flawless.Schedule{Name: "nightly", Cron: "0 3 1 1 *", Workflow: "empty", Overlap: flawless.Allow})
	e = alterSchedule(t, kv, e, func(s *flawless.Schedule) { s.Open = []string{"over", "over-too"} })
	for len(theSchedule(t, e, "nightly").Open) > 0 {
		time.Sleep(time.Millisecond) // until the schedule was looked at
	}
	if err := e.Schedules().Remove(t.Context(), "nightly"); err != nil {
		t.Error(err)
	}
}

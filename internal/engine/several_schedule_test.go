package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// TestScheduleFiresOnceOverServers: the runs of a schedule belong to all servers, and at the moment of each firing the
// schedule goes to another one.
func TestScheduleFiresOnceOverServers(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		_, _, all := several(t, 3, Options{})
		name := nameIn(all[0].Shards(), func(name string) store.Shard { return store.ShardOfName(store.KindSchedule, name) }, "nightly")
		sh := store.ShardOfName(store.KindSchedule, name)
		s := flawless.Schedule{Name: name, Cron: "* * * * *", Module: "guest", Workflow: "want", Input: input(t, ops(sleeps(90_000))), Overlap: flawless.Allow}
		if _, err := all[0].Schedules().Set(t.Context(), s, false); err != nil {
			t.Fatal(err)
		}
		const minutes = 30
		for k := range minutes {
			time.Sleep(time.Minute)
			from, to := all[k%3], all[(k+1)%3]
			var moving sync.WaitGroup
			moving.Go(func() {
				if err := from.Release(t.Context(), sh); err != nil {
					t.Error(err)
				}
				if err := to.Gain(t.Context(), store.ByForce(sh)); err != nil {
					t.Error(err)
				}
			})
			moving.Wait()
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		runs, _, err := all[0].Runs(t.Context(), flawless.Filter{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		owners := map[int]int{}
		for _, r := range runs {
			for i, e := range all {
				if e.runs.Owns(r.ID) == nil {
					owners[i]++
				}
			}
		}
		listed, err := all[1].ListSchedules(t.Context())
		if err != nil || len(listed) != 1 || listed[0].Started != minutes || listed[0].Missed+listed[0].Skipped > 0 || listed[0].Next == nil {
			t.Errorf("after %d minutes the schedule is %+v, %v", minutes, listed, err)
		}
		if len(runs) != minutes || len(owners) != 3 {
			t.Errorf("after %d minutes there are %d runs, of the servers %v", minutes, len(runs), owners)
		}
		for _, e := range all {
			e.Kill()
		}
	})
}

// TestScheduleReplacesRunOfAnotherServer: it is cancelled, and a queued time starts when it has ended.
func TestScheduleReplacesRunOfAnotherServer(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		_, _, all := several(t, 3, Options{})
		name := nameIn(all[0].Shards(), func(name string) store.Shard { return store.ShardOfName(store.KindSchedule, name) }, "nightly")
		s := flawless.Schedule{Name: name, Cron: "* * * * *", Module: "guest", Workflow: "want", Input: input(t, ops(sleeps(600_000))), Overlap: flawless.Replace}
		if _, err := all[0].Schedules().Set(t.Context(), s, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Minute + 30*time.Second)
		synctest.Wait()
		runs, _, err := all[0].Runs(t.Context(), flawless.Filter{Limit: 1000})
		open := 0
		for _, r := range runs {
			if !r.Status.Ended() {
				open++
			}
		}
		if err != nil || len(runs) != 10 || open != 1 {
			t.Errorf("after 10 minutes there are %d runs, %d of them open, %v", len(runs), open, err)
		}
		for k := range 5 { // the owner of the schedule has the runs whose ids it can choose
			r, started, err := all[0].Schedules().Trigger(t.Context(), name, "")
			if err != nil || !started || all[0].runs.Owns(r.ID) != nil {
				t.Errorf("trigger %d: %s, started %v, %v", k, r.ID, started, err)
			}
		}
		for _, e := range all {
			e.Kill()
		}
	})
}

// TestLimitListCountsAllServers: the calls that wait on one server are in the list of another.
func TestLimitListCountsAllServers(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		x := &exchanges{}
		_, _, all := several(t, 3, Options{Kinds: x.kinds()})
		mustLimit(t, all[0], "api.example.com", "1/d", 0)
		refresh(t, all...)
		for i, e := range all {
			fan(t, e, fmt.Sprint("n", i), "api.example.com", 10)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i, e := range all {
			if l := e.ListLimits(t.Context()); len(l) != 1 || l[0].Waiting != 29 || !strings.HasPrefix(l[0].Host, "api.") {
				t.Errorf("server %d lists %+v", i, l)
			}
		}
		for _, e := range all {
			e.Kill()
		}
	})
}

package engine

import (
	"context"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestMetricsCountRunsAndAttempts lets runs end in each way, and calls have each outcome.
func TestMetricsCountRunsAndAttempts(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		kinds := effect.Kinds(effect.Options{})
		for i := range kinds {
			if kinds[i].Name != effect.HTTP {
				continue
			}
			kinds[i].Perform = func(_ context.Context, try effect.Attempt) effect.Result {
				switch n := try.Call.N; {
				case strings.Contains(try.Policy.Title, "unknown"):
					return effect.Result{Outcome: effect.Unknown, Text: "cut", Answer: effect.ErrorAnswer(n, "unknown", "cut")}
				case strings.Contains(try.Policy.Title, "refused"):
					return effect.Result{Outcome: effect.NotSent, Text: "refused", Answer: effect.ErrorAnswer(n, "not_sent", "refused")}
				default:
					a, _ := effect.ResponseAnswer(n, 500, nil)
					return effect.Result{Outcome: effect.Answered, Answer: a}
				}
			}
		}
		kv := mem.New()
		e := open(t, kv, Options{Kinds: kinds})
		ctx := context.Background()
		mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "* * * * *", Workflow: "empty"})
		for _, path := range []string{"ok", "unknown", "refused"} {
			mustStart(t, e, "once", map[string]string{"url": "http://outside.test/" + path}, path)
		}
		mustStart(t, e, "obey", nil, "cancelled")
		mustStart(t, e, "obey", nil, "terminated")
		mustStart(t, e, "fail", "no", "failed")
		mustStart(t, e, "sleep", 2, "damaged")
		synctest.Wait()
		if _, err := e.Cancel(ctx, "cancelled", flawless.Cancel{}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Terminate(ctx, "terminated", flawless.Cancel{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		m, err := e.Metrics(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := map[flawless.Status]int64{flawless.Completed: 2, flawless.Failed: 2, flawless.Cancelled: 1, flawless.Terminated: 1}
		if m.Started != 8 || !maps.Equal(m.Ended, want) || m.Unresolved != 1 || m.Quarantined != 0 {
			t.Errorf("it is %+v", m)
		}
		if m.Begun != m.Answered+m.NotSent+m.Unknown || m.Answered != 1 || m.NotSent != 1 || m.Unknown != 1 {
			t.Errorf("calls: %+v", m)
		}
		if len(m.Schedules) != 1 || m.Schedules[0].Started != 1 {
			t.Errorf("schedules: %+v", m.Schedules)
		}

		e.Kill()
		if err := kv.Apply(ctx, &store.Batch{Set: []store.Item{{Key: append(rowOf('r', "damaged"), 0, 0, 0, 0, 0, 0, 0, 0), Value: []byte("nonsense")}}}); err != nil {
			t.Fatal(err)
		}
		e = open(t, kv, Options{Kinds: kinds})
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if m, err := e.Metrics(ctx); err != nil || m.Unresolved != 1 || m.Quarantined != 1 {
			t.Errorf("after a log was damaged: %+v, %v", m, err)
		}
		e.Kill()
	})
}

package engine

import (
	"fmt"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// counted compares the counts with a walk over all runs.
func counted(t *testing.T, e *Engine) flawless.Stats {
	t.Helper()
	s, err := e.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	page, _, err := e.Runs(t.Context(), flawless.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page {
		want[r.Module+" "+string(r.Status)]++
	}
	got := map[string]int64{}
	for _, m := range s.Modules {
		for status, n := range m.Runs {
			got[m.Module+" "+string(status)] = n
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the counts are %v, and the runs %v", got, want)
	}
	return s
}

// TestCountsAreThoseOfTheRuns: whatever engine has written a run, and whoever owns it now, counts by status and reason are
// those of the runs, also after one was removed and after engines came and went.
func TestCountsAreThoseOfTheRuns(t *testing.T) {
	t.Parallel()
	kv, m, all := several(t, 2, Options{})
	for i := range 12 {
		e := all[i%2]
		mustEnd(t, e, mustStart(t, e, "empty", 1, idOf(e, fmt.Sprint("empty-", i))).ID)
		mustEnd(t, e, mustStart(t, e, "fail", fmt.Sprint("order ", 1000+i, " is unknown"), idOf(e, fmt.Sprint("fail-", i))).ID)
		mustStart(t, e, "mailbox", 1, idOf(e, fmt.Sprint("box-", i)))
	}
	for i := range 12 {
		until(t, all[i%2], idOf(all[i%2], fmt.Sprint("box-", i)), func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	}
	s := counted(t, all[0])
	if len(s.Modules) != 1 || len(s.Modules[0].Reasons) == 0 {
		t.Fatalf("the counts are %+v", s)
	}
	failed := int64(0)
	for _, x := range s.Modules[0].Reasons {
		if failed += x.Runs; x.Status != flawless.Failed || x.Since.IsZero() || x.Last.Before(x.Since) {
			t.Errorf("there is a reason %+v", x)
		}
	}
	if failed != 12 {
		t.Errorf("%d runs have failed for some reason, want 12: %+v", failed, s.Modules[0].Reasons)
	}
	if r := s.Modules[0].Reasons[0]; r.Runs < 2 {
		t.Errorf("reasons that differ in numbers are counted apart: %+v", s.Modules[0].Reasons)
	}
	if err := all[0].store.Remove(t.Context(), all[0].lease, idOf(all[0], "fail-0"), false); err != nil {
		t.Fatal(err)
	}
	counted(t, all[1])
	all[0].Kill()
	third := joinMesh(t, kv, m, "third", Options{}, shareOf(0, 2)...)
	for i := 0; i < 12; i += 2 {
		if _, err := third.Terminate(t.Context(), idOf(all[0], fmt.Sprint("box-", i)), flawless.Cancel{}); err != nil {
			t.Fatal(err)
		}
	}
	counted(t, third)
	counted(t, all[1])
}

// TestMinutesSurviveARestart: what started and ended in a minute is counted by all engines together, and an orderly stop
// loses nothing of it.
func TestMinutesSurviveARestart(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{Owner: "a"})
	for i := range 3 {
		mustEnd(t, e, mustStart(t, e, "empty", 1, fmt.Sprint(i)).ID)
	}
	e.Close(t.Context())
	e, err := reopen(t, kv, Options{Owner: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Kill()
	mustEnd(t, e, mustStart(t, e, "fail", "on purpose", "fails").ID)
	var started, completed, failed int64
	untilSo(t, "what was counted before is there", func() bool {
		s := counted(t, e)
		started, completed, failed = 0, 0, 0
		for _, m := range s.Minutes {
			started, completed, failed = started+m.Started, completed+m.Ended[flawless.Completed], failed+m.Ended[flawless.Failed]
		}
		return started >= 4
	})
	if started != 4 || completed != 3 || failed != 1 {
		t.Errorf("%d have started, %d completed and %d failed", started, completed, failed)
	}
}

package engine

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless"
)

// rowIn returns a run as another engine lists it, from the database.
func rowIn(t *testing.T, e *Engine, id string) flawless.Run {
	t.Helper()
	all, _, err := e.Runs(t.Context(), flawless.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.ID == id {
			return r
		}
	}
	t.Fatalf("run %s is not listed", id)
	return flawless.Run{}
}

// TestRowsSayWhatRunsWaitFor: in the list of any engine, the row of a run says what the run waits for. If that will take
// long by its nature, the row says so as soon as the run waits.
func TestRowsSayWhatRunsWaitFor(t *testing.T) {
	t.Parallel()
	_, _, all := several(t, 2, Options{})
	box := idOf(all[0], "box")
	mustStart(t, all[0], "mailbox", 1, box)
	until(t, all[0], box, func(r flawless.Run) bool { return r.Waiting != nil && r.Waiting.Kind == flawless.WaitMessage })
	if w := rowIn(t, all[1], box).Waiting; w == nil || w.Kind != flawless.WaitMessage || w.Name != "number" || w.Site == "" || w.Since == nil {
		t.Errorf("the row says that it waits for %+v", w)
	}
	asleep := idOf(all[0], "asleep")
	mustStart(t, all[0], "sleep", 1, asleep)
	until(t, all[0], asleep, func(r flawless.Run) bool { return r.Wake != nil })
	if w := rowIn(t, all[1], asleep).Waiting; w == nil || w.Kind != flawless.WaitTimer || w.Until == nil {
		t.Errorf("the row says that it waits for %+v", w)
	}
}

// TestRowsKeepUpWithCalls: while a call is in flight, the row of its run comes to have the counts and the call, without
// anything else happening to the run.
func TestRowsKeepUpWithCalls(t *testing.T) {
	t.Parallel()
	_, _, all := several(t, 2, Options{})
	var asked atomic.Int64
	answer := make(chan struct{})
	outside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if asked.Add(1) == 4 {
			<-answer
		}
	}))
	defer outside.Close()
	id := idOf(all[0], "chain")
	mustStart(t, all[0], "chain", map[string]any{"url": outside.URL, "n": 4}, id)
	untilSo(t, "the row names the call in flight", func() bool {
		r := rowIn(t, all[1], id)
		return r.Turns == 4 && r.Waiting != nil && r.Waiting.Kind == flawless.WaitCall && r.Waiting.Call >= 4
	})
	close(answer)
	if r := mustEnd(t, all[0], id); rowIn(t, all[1], id).Turns != r.Turns || rowIn(t, all[1], id).Waiting != nil {
		t.Errorf("the run is %+v, and its row %+v", r, rowIn(t, all[1], id))
	}
}

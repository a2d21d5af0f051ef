package engine

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/hub"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestStartDoesNotWaitForFollowers: the herald tells them, and is blocked here.
func TestStartDoesNotWaitForFollowers(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	w, done := e.hub.Watch()
	defer done()
	release := e.hub.Block()
	ended := mustEnd(t, e, mustStart(t, e, "empty", 1, "quick").ID)
	told := len(w.More())
	release()
	if ended.Status != flawless.Completed || told != 0 {
		t.Errorf("the run is %s, and %d were told", ended.Status, told)
	}
	for seen := (flawless.Run{}); !seen.Status.Ended(); {
		<-w.More()
		for _, r := range w.Take() {
			seen = r
		}
	}
}

// TestManyFollowersSeeEveryRecord: everyone who follows a run sees every record, whether few follow it or many, also
// where they come and go.
func TestManyFollowersSeeEveryRecord(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, hub.Crowd, hub.Crowd + 1, 5 * hub.Crowd} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			e := open(t, mem.New(), Options{})
			const messages = 3 * 100
			id := mustStart(t, e, "mailbox", messages, "").ID
			var all sync.WaitGroup
			for k := range n {
				all.Go(func() {
					next := uint64(0)
					for rec, err := range e.Follow(t.Context(), id, 0) {
						if err != nil || rec.Seq != next {
							t.Errorf("record %d instead of %d, %v", rec.Seq, next, err)
							return
						}
						if next++; k%2 == 1 && next == 100/2 {
							return // most of a crowd leave early
						}
					}
					if log, err := e.Log(context.Background(), id, 0, 0); err != nil || uint64(len(log)) != next {
						t.Errorf("a follower saw %d of %d records, %v", next, len(log), err)
					}
				})
			}
			for k := range messages {
				if _, err := e.Send(t.Context(), id, flawless.Message{Type: "number", Body: fmt.Append(nil, k)}); err != nil {
					t.Fatal(err)
				}
			}
			all.Wait()
		})
	}
}
